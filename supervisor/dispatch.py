"""The jobs' side of the supervisor: takes them from clients, hands them to instances, and sees each to its one end."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from infsup.protocol.errors import (
    DeadlineExceeded,
    InfsupError,
    InvalidRequest,
    ModelLoading,
    ModelNotFound,
    ModelUnavailable,
    ShuttingDown,
    SlowConsumer,
)
from infsup.protocol.messages import (
    Ack,
    CancelOrder,
    Queued,
    Started,
    decode,
    encode,
    failed_packet,
    read_submit,
    run_packet,
)
from infsup.protocol.wire import Kind, Packet, WireError

from .acceptance import Acceptance
from .blame import Blame
from .config import ModelConfig
from .decisions import Decision, NeverFits, QueueIsFull
from .instance import Instance
from .jobs import JobRecord, JobTable
from .peers import PeerComplaints
from .pool import Pool
from .preparation import Preparation
from .refusals import poisoned
from .restarts import Restarts
from .scheduler import Scheduler
from .service_times import ServiceTimes

log = logging.getLogger("infsup.jobs")


class Dispatcher:
    """Owns the job records. `carry_out` takes the scheduler's decisions; `send` a packet for a client."""

    def __init__(
        self,
        models: Mapping[str, ModelConfig],
        scheduler: Scheduler,
        pool: Pool,
        restarts: Restarts,
        preparation: Preparation,
        *,
        complaints: PeerComplaints,
        carry_out: Callable[[list[Decision]], None],
        send: Callable[[bytes, Packet], bool],
    ) -> None:
        """Must be made in the running loop."""
        self.jobs = JobTable()
        self.stray_packets = 0
        self.complaints = complaints
        self._blame = Blame()
        self._service = ServiceTimes()
        self._scheduler = scheduler
        self._pool = pool
        self._preparation = preparation
        self._acceptance = Acceptance(
            jobs=self.jobs,
            scheduler=scheduler,
            restarts=restarts,
            preparation=preparation,
            blame=self._blame,
            service=self._service,
        )
        self._acceptance.set_models(models)
        self._carry_out = carry_out
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._quiet = asyncio.Event()

    @property
    def stopping(self) -> bool:
        """Whether new jobs are refused."""
        return self._stopping

    def set_models(self, models: Mapping[str, ModelConfig]) -> None:
        """Take over the definitions that new jobs are checked against."""
        self._acceptance.set_models(models)

    # From clients

    def on_submit(self, peer: bytes, packet: Packet) -> None:
        """Take a job, or answer why not. Raises `WireError` for a header that cannot be read."""
        try:
            header = read_submit(packet)
        except WireError as error:
            if packet.key:
                self._send(peer, failed_packet(packet.key, InvalidRequest(f"the job cannot be read: {error}")))
            raise
        try:
            record = self._acceptance.accept(peer, header, packet.extra, self._loop.time())
        except InfsupError as error:
            self._send(peer, failed_packet(header.id, error))
            if isinstance(error, ModelLoading):
                self._load(header.model)
            return
        self.jobs.add(record, self._loop.time())
        try:
            decisions = self._scheduler.submit(
                record.model,
                record.id,
                self._loop.time(),
                client=record.header.client,
                priority=header.priority,
                prefix=header.prefix,
                keep_alive=header.keep_alive,
                parent="" if record.parent is None else record.parent.id,
            )
        except (QueueIsFull, NeverFits) as refusal:
            self._fail(record, self._acceptance.refusal(record.model, refusal))
            self.jobs.remove(record)
            return
        self._set_deadline(record)
        self._preparation.want(record.model)
        self._carry_out(decisions)
        if record.waits and record.parent is not None:
            self._fail_stuck()
        if record.waits:
            self._tell_position(record, self._scheduler.position(record.model, record.id))

    def on_cancel(self, peer: bytes, job: str) -> bool:
        """Cancel a job for the client that submitted it (or for an operator: `peer` empty); false if there is none."""
        record = self.jobs.get(job)
        if record is None or record.answered:
            return False
        if peer and record.peer != peer:
            self.complaints.note("client", peer, "it is for a job of another client")
            return False
        self._cancel(record)
        return True

    def on_ack(self, peer: bytes, packet: Packet) -> None:
        """Give a stream credit back. Raises `WireError`."""
        ack: Ack = decode(Ack, packet)
        record = self.jobs.get(packet.key)
        if record is None:
            return
        if record.peer != peer:
            self.complaints.note("client", peer, "it is for a job of another client")
        else:
            record.ahead_chunks = max(0, record.ahead_chunks - max(0, ack.chunks))
            record.ahead_bytes = max(0, record.ahead_bytes - max(0, ack.size))

    def on_client_gone(self, peer: bytes, why: str) -> None:
        """Cancel what a client has left."""
        for record in self.jobs.of_peer(peer):
            log.info("%s: cancelled: %s", record.id, why)
            if not record.answered:
                record.answered = True
                self._end_children(record)
                self._withdraw(record)

    # From the scheduler

    def assign(self, job: str, instance: Instance) -> None:
        """Send a job to the instance that the scheduler chose."""
        record = self.jobs.get(job)
        if record is None:
            raise AssertionError(f"the scheduler assigned the unknown job {job}")
        now = self._loop.time()
        self.jobs.begin_run(record, instance.id, now)
        record.forget_answer()
        self._pool.job_started(instance, job)
        self._pool.send(instance, run_packet(record.header, record.params, record.time_left(now), record.token))
        if not record.answered:
            self._send(record.peer, encode(Started(instance.id), job))

    # From workers

    def on_job_packet(self, instance: Instance, packet: Packet) -> None:
        """Handle what a worker says about a job it has; anything else is counted and dropped."""
        record = self.jobs.get(packet.key)
        if record is None:  # often it has just ended
            self.stray_packets += 1
        elif record.instance != instance.id:
            self.complaints.note("worker", instance.token, "it is about a job that another has")
        elif packet.kind is Kind.CHUNK:
            self._on_chunk(record, packet)
        elif packet.kind is Kind.BOUNCED:
            # Somebody else told the worker to leave: without a drain it would get the job back at once.
            self._pool.drain(instance, "the worker leaves")
            self._release(record, instance, served=False)
            self._retry(record, instance)
        else:
            self._on_last_packet(record, instance, packet)

    def blame_jobs(self, instance: Instance) -> bool:
        """Note that a worker died under its jobs; true if that counts against the model.

        A job that was alone is to blame, and counts once for the same parameters. Of several, one is to blame and
        nobody knows which: they are retried one at a time.
        """
        suspects = self.jobs.on_instance(instance.id)
        alone = len(suspects) == 1
        now = self._loop.time()
        first = [self._blame.note_death(one.model, one.params, now, alone=alone) for one in suspects]
        for record in suspects:
            record.solo = not alone
        return alone and first[0]

    def on_instance_lost(self, instance: Instance, error: InfsupError) -> None:
        """Retry or fail the jobs of a dead instance."""
        for record in self.jobs.on_instance(instance.id):
            instance.jobs.discard(record.id)
            self.jobs.end_run(record)
            is_poison = self._blame.is_poison(record.model, record.params, self._loop.time())
            poison = poisoned(record.model) if is_poison else None
            if record.answered:
                self._forget(record, instance)
            elif record.cancelling:
                self._finish(record, Packet(Kind.CANCELLED, record.id))
                self._forget(record, instance)
            elif not record.may_be_retried or poison or self._stopping:
                self._fail(record, ShuttingDown("the server is stopping") if self._stopping else poison or error)
                self._forget(record, instance)
            else:
                record.retries -= 1
                log.info("%s: retried after: %s", record.id, error.message)
                self._retry(record, instance)

    def on_outage(self, model: str, error: InfsupError) -> None:
        """Fail what waits for a model that has become unavailable."""
        for job in self._scheduler.drain_queue(model):
            record = self.jobs.get(job)
            if record is not None:
                self._fail(record, error)
                self.jobs.remove(record)
        self._note_quiet()

    # Stopping and looking after

    def begin_stop(self) -> None:
        """Refuse new jobs and fail the waiting ones; running ones go on."""
        self._stopping = self._acceptance.stopping = True
        self._scheduler.stop_spawning()
        for name in self._acceptance.models:
            self.on_outage(name, ShuttingDown("the server is stopping"))
        self._note_quiet()

    async def wait_until_quiet(self) -> None:
        """Wait until no job is left."""
        await self._quiet.wait()

    def fail_all(self, error: InfsupError) -> None:
        """Answer every job that is left with an error."""
        for record in self.jobs:
            if not record.answered:
                self._fail(record, error)
                self._withdraw(record)

    def drop_silent_clients(self, timeout: float, lag: float) -> None:
        """Cancel the jobs of clients that have not been heard of for `timeout` seconds."""
        self.jobs.forgive_silence(lag)
        for peer in self.jobs.silent(self._loop.time() - timeout):
            self.on_client_gone(peer, f"its client is silent for {timeout:g} s")

    def tick(self) -> None:
        """Look after what waits; call it once a second. Costs next to nothing while nothing waits."""
        self._fail_stuck()
        for record in self.jobs:
            if record.waits:
                position = self._scheduler.position(record.model, record.id)
                if record.position != position:
                    self._tell_position(record, position)

    def resolve(self, name: str) -> str:
        """Return the model that a name or alias means. Raises `ModelNotFound`."""
        return self._acceptance.resolve(name)

    def forgive(self) -> None:
        """Forget which parameters have ended workers."""
        self._blame.clear()

    # Steps

    def _load(self, name: str) -> None:
        model = self.resolve(name)
        self._preparation.want(model)
        self._carry_out(self._scheduler.load(model, self._loop.time()))

    def _set_deadline(self, record: JobRecord) -> None:
        if record.deadline is not None:
            record.timers.append(self._loop.call_at(record.deadline, self._on_deadline, record))

    def _on_deadline(self, record: JobRecord) -> None:
        if not record.answered:
            where = "while it ran" if record.instance else "while it waited in the queue"
            self._fail(record, DeadlineExceeded(f"the job's timeout of {record.header.timeout:g} s passed {where}"))
            self._withdraw(record)

    def _on_chunk(self, record: JobRecord, packet: Packet) -> None:
        if record.answered:
            return
        if not record.header.stream:
            record.keep(packet.body)
            return
        record.sent = True
        record.ahead_chunks += 1
        record.ahead_bytes += len(packet.body)
        if not self._send(record.peer, packet):
            self.on_client_gone(record.peer, "its client has gone")
        elif record.over_credit():
            self._fail(record, SlowConsumer("the client reads its stream too slowly"))
            self._withdraw(record)

    def _on_last_packet(self, record: JobRecord, instance: Instance, packet: Packet) -> None:
        now = self._loop.time()
        if not record.answered:
            if packet.kind is Kind.CANCELLED and not record.cancelling and record.time_left(now) is not None:
                self._on_deadline(record)  # the worker's clock was first
            else:
                self._finish(record, packet)
        if packet.kind is Kind.DONE:
            self._blame.note_success(record.model, record.params)
        self._release(record, instance, served=packet.kind is Kind.DONE)
        self._service.note(record.model, now - record.started_at)
        self.jobs.remove(record)
        self._carry_out(self._scheduler.finish(instance.id, record.id, now))
        self._note_quiet()

    def _release(self, record: JobRecord, instance: Instance, *, served: bool) -> None:
        self.jobs.end_run(record)
        self._pool.job_ended(instance, record.id, served=served)

    def _retry(self, record: JobRecord, instance: Instance) -> None:
        if record.model not in self._acceptance.models:
            self._fail(record, ModelNotFound(f"model {record.model!r} was removed by a reload", param="model"))
            self._forget(record, instance)
            return
        record.forget_answer()
        self._carry_out(self._scheduler.requeue(record.id, self._loop.time(), solo=record.solo))

    def _forget(self, record: JobRecord, instance: Instance) -> None:
        self.jobs.remove(record)
        self._carry_out(self._scheduler.finish(instance.id, record.id, self._loop.time()))
        self._note_quiet()

    def _cancel(self, record: JobRecord) -> None:
        if record.instance:
            # The worker answers with what there was; until then the client waits for its last event.
            record.cancelling = True
            self._end_children(record)
            self._order_cancel(record)
        else:
            self._finish(record, Packet(Kind.CANCELLED, record.id))
            self._withdraw(record)

    def _end_children(self, record: JobRecord) -> None:
        """Cancel the jobs that this one asked for: it wants no answer any more."""
        for child in list(record.children.values()):
            if not child.answered and not child.cancelling:
                log.info("%s: cancelled: its parent %s has ended", child.id, record.id)
                self._cancel(child)

    def _fail_stuck(self) -> None:
        """Fail nested jobs that would wait for ever."""
        while (stuck := self._scheduler.find_stuck()) is not None:
            record = self.jobs.get(stuck.job)
            if record is None:
                raise AssertionError(f"the unknown job {stuck.job} waits")
            self._fail(record, ModelUnavailable(stuck.reason, final=stuck.always))
            self._withdraw(record)

    def _tell_position(self, record: JobRecord, position: int) -> None:
        record.position = position
        self._send(record.peer, encode(Queued(position), record.id))

    def _withdraw(self, record: JobRecord) -> None:
        """Take an answered job out of the queue, or out of its instance."""
        if record.instance:
            self._order_cancel(record)
            return
        self.jobs.remove(record)
        self._carry_out(self._scheduler.cancel(record.model, record.id, self._loop.time()))
        self._note_quiet()

    def _order_cancel(self, record: JobRecord) -> None:
        instance = self._pool.instances.get(record.instance)
        if instance is None:
            return
        grace = instance.config.cancel_grace
        self._pool.send(instance, encode(CancelOrder(grace), record.id))

        self._pool.kill_unless(
            instance,
            grace,
            lambda: instance.id != record.instance or record.id not in instance.jobs,
            f"job {record.id} was not cancelled within {grace:g} s",
        )

    def _fail(self, record: JobRecord, error: InfsupError) -> None:
        self._finish(record, failed_packet(record.id, error))

    def _finish(self, record: JobRecord, last: Packet) -> None:
        """Send the last event, once; before an error, what a non-streaming client has not seen of the answer."""
        if record.answered:
            return
        record.answered = True
        if last.kind is not Kind.DONE:
            for body in record.kept:
                self._send(record.peer, Packet(Kind.CHUNK, record.id, body))
        record.forget_answer()
        self._send(record.peer, last)
        self._end_children(record)

    def _note_quiet(self) -> None:
        if self._stopping and not len(self.jobs):
            self._quiet.set()
