"""The running supervisor inside its event loop: sockets, scheduler, pool, dispatcher and control, joined together.

This is the only place where the parts know of one another. It serves jobs and control calls; HTTP is the gateway's.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Mapping
from pathlib import Path

import zmq

from infsup.protocol.errors import EngineFailure, InfsupError, ShuttingDown
from infsup.protocol.port import Port
from infsup.protocol.runtime import jobs_endpoint, workers_endpoint
from infsup.protocol.wire import MAX_MESSAGE_BYTES, Kind, Packet, WireError, join, pack, split, unpack_map

from .config import Config
from .config_changes import Changes, compare, keep_fixed
from .control import Control, Host
from .cores import CoreLeases, available_cores
from .decisions import Assign, Decision, Drain, Spawn
from .dispatch import Dispatcher
from .host import cpu_quota
from .instance import Instance
from .lifecycle import FINAL, State, Transition
from .local_config import LocalConfig
from .machine import whole_cores
from .peers import PeerComplaints
from .pool import Pool
from .preparation import Preparation, prepare_local
from .reload import Reload
from .restarts import Restarts
from .scheduler import Scheduler
from .spawner import Spawner
from .weights import Weights

log = logging.getLogger("infsup.core")

TICK_SECONDS = 1.0
CLIENT_TIMEOUT = 15.0
"""Seconds of silence after which a client that has jobs counts as gone."""
SAVE_SECONDS = 600.0
"""Between writes of what was learned: a box in a cabinet ends by loss of power, not by a stop."""
LAG_SECONDS = 0.5
"""A tick later than this was held up: nobody is blamed for silence in that time."""


class Core:
    """Everything but HTTP and signals. `start`, then `stop` or `close`."""

    def __init__(self, local: LocalConfig, directory: Path, host: Host) -> None:
        """Must be made in the running loop; nothing is opened before `start`."""
        config = self.config = local.config
        self._directory = directory
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._jobs_port = Port(self._context, zmq.ROUTER, self._on_client_frames)
        self._workers_port = Port(self._context, zmq.ROUTER, self._on_worker_frames)
        for port in (self._jobs_port, self._workers_port):
            port.socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        self._complaints = PeerComplaints()
        self._ttl_timer: asyncio.TimerHandle | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._saver: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Future[None]] = set()
        self.budget = local.budget
        self.scheduler = Scheduler(
            config.pool.concurrency, total=self.budget.total, swap_patience=config.pool.swap_patience
        )
        cores = config.pool.cores if config.pool.cores != "auto" else available_cores()
        self.restarts = Restarts(self._loop.time)
        self.pool = Pool(
            self.scheduler,
            self.restarts,
            Spawner(workers_endpoint(directory), CoreLeases(cores), whole_cores(len(cores), cpu_quota())),
            self,
            send=self._send_to_worker,
            drain_sockets=self._workers_port.drain_now,
        )
        self.preparation = Preparation(
            prepare_local, config.pool.prepare_concurrency, self._on_prepared, self.on_outage
        )
        self.dispatcher = Dispatcher(
            config.models,
            self.scheduler,
            self.pool,
            self.restarts,
            self.preparation,
            complaints=self._complaints,
            carry_out=self.carry_out,
            send=self._send_to_client,
        )
        self._reload = Reload(
            scheduler=self.scheduler,
            budget=self.budget,
            restarts=self.restarts,
            preparation=self.preparation,
            pool=self.pool,
            dispatcher=self.dispatcher,
        )
        self.control = Control(
            host,
            config,
            scheduler=self.scheduler,
            pool=self.pool,
            restarts=self.restarts,
            dispatcher=self.dispatcher,
            preparation=self.preparation,
        )

    def start(self) -> None:
        """Open the sockets and start what `min_instances` asks for. Raises `zmq.ZMQError`."""
        self._jobs_port.start(bind=jobs_endpoint(self._directory))
        self._workers_port.start(bind=workers_endpoint(self._directory))
        self._apply(self.config, Changes(added=tuple(self.config.models)))
        self._ticker = asyncio.create_task(self._tick())
        self._saver = asyncio.create_task(self._save_now_and_then())

    def reload(self, config: Config, weights: Mapping[str, Weights]) -> Changes:
        """Take over a checked configuration, and what `weigh_all` found; returns what differs.

        What only a restart can change stays as it is.
        """
        changes = compare(self.config, config)
        if changes:
            config = keep_fixed(self.config, config, changes)
            self.budget.adopt(config, weights)
            self._apply(config, changes)
        return changes

    def _apply(self, config: Config, changes: Changes) -> None:
        self.config = config
        self.control.set_config(config)
        self.carry_out(self._reload.apply(config, changes, self._loop.time()))

    def _on_prepared(self, model: str) -> None:
        self.scheduler.hold(model, self.restarts.not_before(model))
        self.carry_out(self.scheduler.maintain(model, self._loop.time()))

    async def stop(self, drain: float) -> None:
        """Refuse new jobs, let running ones finish for up to `drain` seconds, end the instances."""
        self.dispatcher.begin_stop()
        try:
            async with asyncio.timeout(drain):
                await self.dispatcher.wait_until_quiet()
        except TimeoutError:
            log.warning("%d jobs still run after %g s; they are cancelled", len(self.dispatcher.jobs), drain)
            self.dispatcher.fail_all(ShuttingDown("the server is stopping"))
        await self.pool.stop(grace=min(5.0, max(1.0, drain)))

    def fail_all_jobs(self) -> None:
        """Answer every job with `shutting_down`, at once."""
        self.dispatcher.begin_stop()
        self.dispatcher.fail_all(ShuttingDown("the server is stopping"))

    def close(self) -> None:
        """Kill what is left and close the sockets. For every way out."""
        for task in (self._ticker, self._saver):
            if task is not None:
                task.cancel()
        if self._ttl_timer is not None:
            self._ttl_timer.cancel()
        for call in self._calls:
            call.cancel()
        self.preparation.close()
        self.pool.close()
        self.budget.save()
        self._jobs_port.close(linger=0.5)
        self._workers_port.close()
        self._context.term()

    # Decisions

    def carry_out(self, decisions: list[Decision]) -> None:
        """Carry out what the scheduler decided, in order."""
        for decision in decisions:
            match decision:
                case Assign(job, instance):
                    self.dispatcher.assign(job, self.pool.instances[instance])
                case Spawn(model, instance, gpu):
                    self.pool.spawn(model, instance, gpu=gpu)
                case Drain(instance, reason):
                    self.pool.drain(self.pool.instances[instance], reason)
        self._set_ttl_timer()

    def _set_ttl_timer(self) -> None:
        due = self.scheduler.next_due(self._loop.time())
        if self._ttl_timer is not None:
            if due is not None and self._ttl_timer.when() <= due:
                return  # the earlier one looks again when it comes
            self._ttl_timer.cancel()
        self._ttl_timer = None if due is None else self._loop.call_at(due, self._on_ttl)

    def _on_ttl(self) -> None:
        self._ttl_timer = None
        self._jobs_port.drain_now()  # a job that is here already is not to lose its instance to a late timer
        self.carry_out(self.scheduler.due(self._loop.time()))

    # Messages

    def _on_client_frames(self, frames: list[bytes]) -> None:
        peer = frames[0]
        try:
            self._on_client_packet(peer, split(frames[1:]))
        except WireError as error:
            self._complaints.note("client", peer, str(error))

    def _on_client_packet(self, peer: bytes, packet: Packet) -> None:
        self.dispatcher.jobs.saw(peer, self._loop.time())
        match packet.kind:
            case Kind.SUBMIT:
                self.dispatcher.on_submit(peer, packet)
            case Kind.ACK:
                self.dispatcher.on_ack(peer, packet)
            case Kind.CANCEL_JOB:
                self.dispatcher.on_cancel(peer, packet.key)
            case Kind.CONTROL:
                self._on_control(peer, packet)
            case Kind.CLIENT_BEAT:
                self._host.client_beat(peer)
                self._send_to_client(peer, Packet(Kind.SERVER_BEAT))
            case Kind.CLIENT_BYE:
                self.dispatcher.on_client_gone(peer, "its client has left")
            case Kind.CONTROL_END:
                pass  # no control call streams yet
            case _:
                raise WireError(f"{packet.kind.name} is not a client's message")

    def _on_worker_frames(self, frames: list[bytes]) -> None:
        token = frames[0]
        try:
            if not self.pool.on_packet(token, split(frames[1:])):
                self._complaints.note("worker", token, "nobody with this token was spawned")
        except WireError as error:
            self._complaints.note("worker", token, str(error))

    def _send_to_client(self, peer: bytes, packet: Packet) -> bool:
        return self._jobs_port.send([peer, *join(packet)])

    def _send_to_worker(self, token: bytes, packet: Packet) -> bool:
        return self._workers_port.send([token, *join(packet)])

    # Control calls

    def _on_control(self, peer: bytes, packet: Packet) -> None:
        body = unpack_map(packet.body)
        try:
            reply = self.control.call(body.get("verb"), body.get("args", {}))
        except InfsupError as error:
            self._reply_error(peer, packet.key, error)
            return
        if inspect.isawaitable(reply):
            call = asyncio.ensure_future(self._reply_later(peer, packet.key, reply))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
        else:
            self._reply(peer, packet.key, reply)

    async def _reply_later(self, peer: bytes, key: str, reply: Awaitable[object]) -> None:
        try:
            self._reply(peer, key, await reply)
        except InfsupError as error:
            self._reply_error(peer, key, error)
        except Exception as error:
            log.exception("a control call failed")
            self._reply_error(peer, key, EngineFailure(f"the supervisor failed: {error!r}"))

    def _reply(self, peer: bytes, key: str, value: object) -> None:
        try:
            body = pack(value)
        except WireError as error:
            self._reply_error(peer, key, EngineFailure(f"the answer {error}"))
            return
        self._send_to_client(peer, Packet(Kind.REPLY, key, body))

    def _reply_error(self, peer: bytes, key: str, error: InfsupError) -> None:
        self._send_to_client(peer, Packet(Kind.REPLY_ERROR, key, pack(error.to_wire())))

    # What the pool tells

    def on_job_packet(self, instance: Instance, packet: Packet) -> None:
        """A worker said something about a job."""
        self.dispatcher.on_job_packet(instance, packet)

    def blame_jobs(self, instance: Instance) -> bool:
        """A worker died under its jobs."""
        return self.dispatcher.blame_jobs(instance)

    def on_instance_lost(self, instance: Instance, error: InfsupError) -> None:
        """A worker died."""
        self.dispatcher.on_instance_lost(instance, error)

    def on_outage(self, model: str, error: InfsupError) -> None:
        """A model has become unavailable."""
        self.dispatcher.on_outage(model, error)

    def on_transition(self, step: Transition) -> None:
        """An instance changed its state."""
        why = f" ({step.reason})" if step.reason else ""
        level = logging.DEBUG if {step.before, step.after} == {State.IDLE, State.BUSY} else logging.INFO
        log.log(level, "%s: %s → %s%s", step.instance, step.before.value, step.after.value, why)
        if step.after in FINAL and step.model in self.budget:
            self.scheduler.set_model(self.budget.limits(step.model))  # its run is over: that taught something

    def on_client_gone(self, peer: bytes) -> None:
        """A client process that the supervisor itself watches has died."""
        self.dispatcher.on_client_gone(peer, "its gateway has died")

    # Looking after

    async def _tick(self) -> None:
        expected = self._loop.time() + TICK_SECONDS
        while True:
            await _until(self._loop, expected)
            late = self._loop.time() - expected
            lag = late if late > LAG_SECONDS else 0.0
            self._look_after(lag)
            expected = self._loop.time() + TICK_SECONDS

    async def _save_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            await self.budget.save_apart()

    def _look_after(self, lag: float) -> None:
        try:
            self.pool.watch(lag)
            for instance in self.pool.instances.values():
                self.budget.observe(instance)
            self._jobs_port.drain_now()  # what has been said already is no silence
            self.dispatcher.drop_silent_clients(CLIENT_TIMEOUT, lag)
            self._host.watch(lag)
            self.dispatcher.tick()
        except Exception:  # a bug in one check must not end the watching of all workers
            log.exception("a periodic check failed")


async def _until(loop: asyncio.AbstractEventLoop, when: float) -> None:
    await asyncio.sleep(max(0.0, when - loop.time()))
