"""Runs the jobs of a `BatchEngine`: one loop on the main thread that takes jobs, makes steps and sends what they say.

While jobs run it never waits for others: those that have arrived join between two steps. Without any it waits at the
desk. A job's own errors end that job alone; an error of `step` itself leaves nothing that could be relied on, so it
ends the process, and the supervisor retries what it can.
"""

from collections.abc import Callable
from dataclasses import dataclass

from infsup.protocol.errors import EngineFailure

from .desk import Desk, Ticket
from .engine import BatchEngine, EngineFatal, Event, Piece, Result
from .output import JobOutput
from .progress import Progress
from .tasks import check_task


@dataclass(slots=True)
class _Job:
    """A job that the engine has. `answered`: its last word is out, and the engine was told to give it up."""

    ticket: Ticket
    output: JobOutput
    answered: bool = False


class BatchRunner:
    """Owns the jobs between the desk and a batching engine. `outputs` may be read in another thread."""

    def __init__(
        self,
        engine: BatchEngine,
        name: str,
        desk: Desk,
        *,
        progress: Progress,
        send: Callable[[list[bytes]], None],
    ) -> None:
        """`name` is the engine's, for messages; `send` takes the frames of one message."""
        self._engine = engine
        self._name = name
        self._desk = desk
        self._progress = progress
        self._send = send
        self._jobs: dict[str, _Job] = {}

    @property
    def outputs(self) -> list[JobOutput]:
        """What the running jobs write to."""
        return [job.output for job in list(self._jobs.values())]

    def run(self) -> None:
        """Serve until the desk is drained and the last job has ended. Raises `EngineFatal`."""
        while True:
            if not self._jobs:
                ticket = self._desk.take()
                if ticket is None:
                    return
                self._begin(ticket)
            for ticket in self._desk.take_waiting():
                self._begin(ticket)
            if self._jobs:
                self._step()

    def _begin(self, ticket: Ticket) -> None:
        job = _Job(ticket, JobOutput(ticket.job, self._send))
        try:
            check_task(self._engine, ticket.job)
            ticket.context.check()
            self._engine.submit(ticket.job, ticket.context)
        except EngineFatal:
            raise
        except Exception as error:  # noqa: BLE001 - an engine may raise anything, and the other jobs go on
            job.output.ended_by(error, self._name)
            self._note_end(ticket)
        else:
            self._jobs[ticket.job.id] = job

    def _step(self) -> None:
        try:
            events = self._engine.step()
        except EngineFatal:
            raise
        except Exception as error:
            self._fail_all(error)
            raise EngineFatal(f"a step of {self._name} failed: {type(error).__name__}: {error}") from error
        self._progress.context_used = self._engine.context_used
        for event in events:
            self._tell(self._jobs[event.job_id], event)

    def _fail_all(self, error: Exception) -> None:
        for job in self._jobs.values():
            if not job.answered:
                job.output.ended_by(error, self._name)

    def _tell(self, job: _Job, event: Event) -> None:
        try:
            self._pass_on(job, event.what)
        except EngineFailure as error:  # it cannot be sent
            job.output.failed(error)
            job.answered = True
            job.ticket.context.cancel()
        if not isinstance(event.what, Piece):
            del self._jobs[event.job_id]
            self._note_end(job.ticket)

    def _pass_on(self, job: _Job, what: Piece | Result | Exception) -> None:
        if job.answered:
            return
        if isinstance(what, Piece):
            job.output.piece(what.data)
        elif isinstance(what, Exception):
            job.output.ended_by(what, self._name)
        elif job.ticket.context.cancelled:
            job.output.cancelled()
        else:
            job.output.done(what.data)

    def _note_end(self, ticket: Ticket) -> None:
        if self._desk.finish(ticket.job.id):
            self._progress.phase("idle")
