"""The instances: spawns workers, talks to them, watches them, ends them, and gives back what they held.

The pool owns every instance's state. Jobs are the dispatcher's business: the pool reports through `PoolEvents`.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from infsup.protocol.errors import InfsupError, from_wire
from infsup.protocol.messages import Beat, Hello, Loaded, decode, encode
from infsup.protocol.wire import Kind, Packet, WireError, unpack_map

from .causes import BY_FORCE, Cause, Why
from .config import ModelConfig
from .deaths import Deaths, describe_exit, post_mortem
from .decisions import Decision
from .health import HealthLimits, find_stall
from .instance import Instance
from .lifecycle import State, Transition
from .oom import OomWatch
from .restarts import Restarts
from .scheduler import Scheduler
from .spawner import Spawner
from .wear import find_wear
from .worker_env import load_order

log = logging.getLogger("infsup.pool")

STACK_DUMP_SECONDS = 0.5
"""Between SIGUSR1 (the worker writes its stacks) and SIGKILL."""
LAST_WORDS_SECONDS = 0.02
"""After a death: messages that the worker sent may still be on their way through ZeroMQ's thread."""
LATE_SECONDS = 0.3
"""A timer that is later than this was held up with the whole supervisor, which was stopped or had no processor."""
UNKILLABLE_SECONDS = 10.0
"""A process in uninterruptible sleep ignores SIGKILL; after this its place in the scheduler is given up."""


class PoolEvents(Protocol):
    """What the pool tells its surroundings."""

    def carry_out(self, decisions: list[Decision]) -> None:
        """Carry out what the scheduler decided."""
        ...

    def on_job_packet(self, instance: Instance, packet: Packet) -> None:
        """A worker said something about a job."""
        ...

    def blame_jobs(self, instance: Instance) -> bool:
        """A worker died under its jobs; return whether that speaks against the model (see `Dispatcher.blame_jobs`)."""
        ...

    def on_instance_lost(self, instance: Instance, error: InfsupError) -> None:
        """An instance is dead; its jobs are to be retried or failed with `error`."""
        ...

    def on_outage(self, model: str, error: InfsupError) -> None:
        """A model has become unavailable; what waits for it fails with `error`."""
        ...

    def on_transition(self, step: Transition) -> None:
        """An instance changed its state."""
        ...


class Pool:
    """All instances of all models."""

    def __init__(
        self,
        scheduler: Scheduler,
        restarts: Restarts,
        spawner: Spawner,
        events: PoolEvents,
        *,
        send: Callable[[bytes, Packet], bool],
        drain_sockets: Callable[[], None],
    ) -> None:
        """`send` delivers a packet to the worker with a token; `drain_sockets` handles what has arrived."""
        self.instances: dict[str, Instance] = {}
        self.deaths = Deaths()
        self._models: Mapping[str, ModelConfig] = {}
        self._scheduler = scheduler
        self._restarts = restarts
        self._spawner = spawner
        self._events = events
        self._send = send
        self._drain_sockets = drain_sockets
        self._loop = asyncio.get_running_loop()
        self._by_token: dict[bytes, Instance] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self._idle = asyncio.Event()
        self._oom = OomWatch()
        self._stopping = False

    # Models

    def set_models(self, models: Mapping[str, ModelConfig]) -> None:
        """Take over the definitions that new instances are started with."""
        self._models = models
        self._spawner.plan_for(models.values())

    def adjust(self, name: str) -> None:
        """Let the running instances of a model follow its new limits, where what they have loaded is the same."""
        for instance in self.of_model(name):
            if instance.config.load_key() == self._models[name].load_key():
                instance.config = self._models[name]

    def of_model(self, name: str) -> list[Instance]:
        """Return a model's instances, also those that leave."""
        return [instance for instance in self.instances.values() if instance.model == name]

    # Starting

    def spawn(self, name: str, instance_id: str, *, gpu: bool = False) -> None:
        """Start a worker process; what goes wrong counts as its death."""
        instance = self._spawner.prepare(
            name,
            self._models[name],
            instance_id,
            gpu=gpu,
            now=self._loop.time(),
            on_exit=self._on_exit,
            on_transition=self._events.on_transition,
        )
        self.instances[instance_id] = self._by_token[instance.token] = instance
        try:
            self._spawner.start(instance)
        except OSError as error:
            instance.cause = Cause(Why.START, f"the worker could not be started: {error}")
            self._later(0, lambda: self._bury(instance))

    # Messages

    def on_packet(self, token: bytes, packet: Packet) -> bool:
        """Handle a worker's packet; false when nobody with this token is known. Raises `WireError` if malformed."""
        instance = self._by_token.get(token)
        if instance is None or instance.ended:
            return False
        now = self._loop.time()
        match packet.kind:
            case Kind.BEAT:
                instance.note_beat(decode(Beat, packet), now)
                self._send(token, Packet(Kind.BEAT_ACK))
            case Kind.HELLO:
                self._on_hello(instance, decode(Hello, packet))
            case Kind.LOADED:
                self._on_loaded(instance, decode(Loaded, packet))
            case Kind.LOAD_FAILED:
                self._on_load_failed(instance, from_wire(unpack_map(packet.body)))
            case Kind.CHUNK | Kind.DONE | Kind.FAILED | Kind.CANCELLED | Kind.BOUNCED:
                instance.note_progress(now)
                self._events.on_job_packet(instance, packet)
            case _:
                raise WireError(f"{packet.kind.name} is not a worker's message")
        return True

    def send(self, instance: Instance, packet: Packet) -> bool:
        """Send a packet to a worker; false when it is gone."""
        return self._send(instance.token, packet)

    def _on_hello(self, instance: Instance, hello: Hello) -> None:
        if instance.state is not State.STARTING:
            raise WireError(f"{instance.id}: a second hello")
        if hello.pid != instance.process.pid:
            raise WireError(f"{instance.id}: hello from pid {hello.pid}, expected {instance.process.pid}")
        instance.move(State.LOADING)
        instance.beat_at = instance.progress_at = self._loop.time()
        instance.phase = "load"
        threads = self._spawner.threads(instance.config)
        order = load_order(instance.model, instance.config, instance.id, threads=threads, gpu=instance.gpu)
        self.send(instance, encode(order))

    def _on_loaded(self, instance: Instance, loaded: Loaded) -> None:
        if instance.state is not State.LOADING:
            raise WireError(f"{instance.id}: loaded while {instance.state.value}")
        instance.loaded = loaded
        instance.phase = "idle"
        instance.move(State.IDLE, f"loaded in {loaded.load_seconds:.2f} s")
        self._restarts.on_loaded(instance.model)
        self._events.carry_out(
            self._scheduler.instance_ready(
                instance.id, max(1, loaded.capacity), self._loop.time(), load_seconds=loaded.load_seconds
            )
        )

    def _on_load_failed(self, instance: Instance, error: InfsupError) -> None:
        instance.cause = Cause(Why.LOAD, f"load failed: {error.message}")
        log.error("%s: %s", instance.id, instance.cause.text)
        for_all = self._restarts.on_load_failed(instance.model, error)
        if for_all is not None:
            self._events.on_outage(instance.model, for_all)

    # Jobs of an instance

    def job_started(self, instance: Instance, job: str) -> None:
        """Note that the instance has a job."""
        now = self._loop.time()
        instance.jobs.add(job)
        instance.progress_at = now
        if instance.phase == "idle":
            instance.phase = "prefill"  # until its next beat says more
        instance.last_used_wall = time.time()
        if instance.state is State.IDLE:
            instance.move(State.BUSY)

    def job_ended(self, instance: Instance, job: str, *, served: bool) -> None:
        """Note that a job has left the instance."""
        instance.jobs.discard(job)
        instance.last_used_wall = time.time()
        if served:
            instance.served += 1
            self._restarts.on_served(instance.model)
        if instance.state is State.BUSY and not instance.jobs:
            instance.phase = "idle"
            instance.move(State.IDLE)
        self._expect_end(instance)

    # Ending

    def drain(self, instance: Instance, reason: str, limit: float | None = None) -> None:
        """Let the instance finish its jobs and leave; it is killed if it does not leave then.

        `limit` bounds the time for its jobs, in seconds; without one they may take as long as they make progress.
        """
        if instance.ended or instance.state is State.DRAINING:
            return
        instance.move(State.DRAINING, reason)
        self._events.carry_out(self._scheduler.instance_gone(instance.id, self._loop.time()))
        if not self.send(instance, Packet(Kind.DRAIN)):
            instance.process.signal(signal.SIGTERM)  # it has not said hello yet
        if limit is not None:
            self._later(limit, lambda: self.kill(instance, f"did not leave within {limit:g} s ({reason})"))
        self._expect_end(instance)

    def _expect_end(self, instance: Instance) -> None:
        if instance.state is State.DRAINING and not instance.jobs:
            grace = instance.config.cancel_grace
            self.kill_unless(instance, grace, lambda: False, f"did not leave within {grace:g} s of its last job")

    def kill_unless(self, instance: Instance, grace: float, done: Callable[[], bool], cause: str) -> None:
        """Kill the instance in `grace` seconds unless `done` then; what it said by then is heard first.

        Time in which the supervisor itself did not listen does not count: nobody is to die of that.
        """
        due = self._loop.time() + grace

        def judge() -> None:
            self._drain_sockets()
            if instance.ended or done():
                return
            if self._loop.time() - due > LATE_SECONDS:
                self.kill_unless(instance, grace, done, cause)
            else:
                self.kill(instance, cause)

        self._later(grace, judge)

    def kill(self, instance: Instance, cause: str) -> None:
        """End an instance by force, at once."""
        if instance.ended:
            return
        instance.cause = instance.cause or Cause(Why.ENDED, cause)
        log.warning("%s: killed: %s", instance.id, cause)
        instance.process.kill()
        self._events.carry_out(self._scheduler.instance_gone(instance.id, self._loop.time()))
        self._later(UNKILLABLE_SECONDS, lambda: self._give_up(instance))

    def reset(self, model: str) -> None:
        """Close a model's circuit and start what it needs."""
        self._restarts.reset(model)
        self._scheduler.hold(model, 0.0)
        self._maintain(model)

    def now(self) -> float:
        """Return the time on the loop's clock, which the scheduler uses."""
        return self._loop.time()

    def watch(self, lag: float) -> None:
        """Look for workers that hang. `lag` is how long the supervisor itself did not listen, in seconds."""
        self._drain_sockets()
        self._oom.sample()
        now = self._loop.time()
        for instance in list(self.instances.values()):
            if lag:
                instance.forgive(lag)
            stall = None if instance.ended or instance.dumping else find_stall(instance, _limits(instance.config), now)
            if stall is not None:
                self._end_stalled(instance, stall)
            elif (wear := find_wear(instance, now)) is not None:
                self._recycle(instance, wear)

    def _recycle(self, instance: Instance, wear: str) -> None:
        decisions = self._scheduler.recycle(instance.id, self._loop.time())
        if decisions:
            log.info("%s: to be replaced: %s", instance.id, wear)
            self._events.carry_out(decisions)

    async def stop(self, grace: float) -> None:
        """End all instances: drain, after `grace` seconds kill; returns when every process is reaped."""
        self._stopping = True
        for instance in list(self.instances.values()):
            self.drain(instance, "shutdown", grace)
        while self.instances:
            self._idle.clear()
            await self._idle.wait()

    def close(self) -> None:
        """Kill and reap whatever is left, synchronously. For every way out."""
        self._stopping = True
        for timer in self._timers:
            timer.cancel()
        for instance in self.instances.values():
            instance.process.close()
        self.instances.clear()
        self._by_token.clear()
        self._oom.close()

    def _end_stalled(self, instance: Instance, stall: str) -> None:
        instance.dumping = True
        instance.cause = Cause(Why.STALL, f"stalled: {stall}")
        log.error("%s: %s", instance.id, instance.cause.text)
        self._events.carry_out(self._scheduler.instance_gone(instance.id, self._loop.time()))
        instance.process.signal(signal.SIGUSR1)
        self._later(STACK_DUMP_SECONDS, lambda: self.kill(instance, stall))

    def _on_exit(self, instance: Instance) -> None:
        self._drain_sockets()
        if instance.jobs:
            self._later(LAST_WORDS_SECONDS, lambda: self._bury(instance))
        else:
            self._bury(instance)

    def _bury(self, instance: Instance) -> None:
        if instance.ended:
            return
        self._drain_sockets()
        now = self._loop.time()
        asked = instance.state is State.DRAINING and not instance.jobs and not instance.cause
        before, jobs = instance.state, tuple(sorted(instance.jobs))
        if asked:
            instance.move(State.STOPPED)
            self._forget(instance)
        else:
            cause = instance.cause or self._find_cause(instance)
            instance.move(State.KILLED if cause.why in BY_FORCE else State.CRASHED, cause.text)
            self.deaths.add(post_mortem(instance, cause.text, jobs, time.time()))
            self._note_death(instance, before, cause)  # first: it may forbid a new start
            self._forget(instance)
            self._events.on_instance_lost(instance, cause.error(instance.model))
            self._announce_outage(instance.model)
        self._events.carry_out(self._scheduler.instance_reaped(instance.model, instance.id, now))

    def _find_cause(self, instance: Instance) -> Cause:
        process = instance.process
        if process.returncode == -signal.SIGKILL and self._oom.was_oom(process.pid):
            used = f", it last used {instance.memory[-1] / 1e6:.0f} MB" if instance.memory else ""
            return Cause(Why.MEMORY, f"out of memory: the kernel ended it for memory{used}")
        return Cause(Why.EXIT, describe_exit(process.returncode)[0])

    def _forget(self, instance: Instance) -> None:
        self._spawner.cores.give_back(instance.id)
        self.instances.pop(instance.id, None)
        self._by_token.pop(instance.token, None)
        self._events.carry_out(self._scheduler.instance_gone(instance.id, self._loop.time()))
        if not self.instances:
            self._idle.set()

    def _note_death(self, instance: Instance, before: State, cause: Cause) -> None:
        if self._stopping:
            return
        model = instance.model
        self._restarts.on_death(instance, before, cause, blames_model=lambda: self._events.blame_jobs(instance))
        if model not in self._models:
            return  # a reload has removed it
        not_before = self._restarts.not_before(model)
        self._scheduler.hold(model, not_before)
        wait = not_before - self._loop.time()
        if wait < float("inf"):
            self._later(max(0.0, wait), lambda: self._maintain(model))

    def _announce_outage(self, model: str) -> None:
        error = self._restarts.outage_error(model)
        if error is not None and not self._scheduler.has_ready_instance(model):
            self._events.on_outage(model, error)

    def _maintain(self, model: str) -> None:
        if not self._stopping and model in self._models:
            self._events.carry_out(self._scheduler.maintain(model, self._loop.time()))

    def _give_up(self, instance: Instance) -> None:
        if instance.ended:
            return
        log.error(
            "%s: pid %d survives SIGKILL (uninterruptible sleep?); given up",
            instance.id,
            instance.process.pid,
        )
        self._bury(instance)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(handle)
            action()

        handle = self._loop.call_later(seconds, run)
        self._timers.add(handle)


def _limits(model: ModelConfig) -> HealthLimits:
    return HealthLimits(
        start=model.start_timeout,
        load=model.load_timeout,
        prefill=model.prefill_timeout,
        decode=model.stall_timeout,
        opaque=model.opaque_timeout,
        beat=model.beat_timeout,
    )
