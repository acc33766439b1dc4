"""The worker's desk: which jobs wait, which run, and whether new ones are taken. Shared by the link and the runner.

It sends nothing: each method says what happened, and the caller tells the supervisor.
"""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from infsup.protocol.job import Job

from .engine import ChildClient, JobContext, Report

ClientMaker = Callable[[str, JobContext], ChildClient]
"""Makes the client of a job, given the job's token and context."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A job that this worker accepted, with the context in which it will run."""

    job: Job
    context: JobContext


class Accepted(Enum):
    """The answer to a job."""

    YES = "it waits for the runner"
    DRAINING = "no: to be bounced"
    KNOWN = "no: a job with this id is here already"


class Desk:
    """Owns the accepted jobs. The link calls `accept`, `cancel` and `drain`; the runner takes and finishes them."""

    def __init__(self, report: Report, make_client: ClientMaker | None = None) -> None:
        """`report` goes into the jobs' contexts, and so does what `make_client` returns."""
        self._report = report
        self._make_client = make_client
        self._lock = threading.Lock()
        self._arrivals: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._waiting: dict[str, Ticket] = {}
        self._running: dict[str, Ticket] = {}
        self._draining = False

    def accept(self, job: Job) -> Accepted:
        """Take a job. Its time runs from now."""
        deadline = None if job.timeout is None else time.monotonic() + job.timeout
        context = JobContext(self._report, deadline)
        if self._make_client is not None:
            context.client = self._make_client(job.token, context)
        ticket = Ticket(job, context)
        with self._lock:
            if self._draining:
                return Accepted.DRAINING
            if job.id in self._waiting or job.id in self._running:
                return Accepted.KNOWN
            self._waiting[job.id] = ticket
        self._arrivals.put(ticket)
        return Accepted.YES

    def cancel(self, job_id: str) -> bool:
        """Cancel a job. True when it was still waiting: then nobody else will answer it.

        A running job's hooks are called here, in the caller's thread; what they raise passes through.
        """
        with self._lock:
            if self._waiting.pop(job_id, None) is not None:
                return True
            ticket = self._running.get(job_id)
        if ticket is not None:
            ticket.context.cancel()
        return False

    def drain(self) -> list[str]:
        """Take no more jobs. Returns the ids of those that had not begun: they are to be bounced."""
        with self._lock:
            self._draining = True
            bounced = list(self._waiting)
            self._waiting.clear()
        self._arrivals.put(None)
        return bounced

    def take(self) -> Ticket | None:
        """Wait for the next job; None once the desk is drained."""
        while True:
            ticket = self._arrivals.get()
            if ticket is None:
                self._arrivals.put(None)  # for the next one who asks
                return None
            if self._begin(ticket):
                return ticket

    def take_waiting(self) -> list[Ticket]:
        """Take all jobs that wait now, without waiting for any. For one thread alone: no other may take meanwhile."""
        taken: list[Ticket] = []
        while not self._arrivals.empty():
            ticket = self._arrivals.get()
            if ticket is None:
                self._arrivals.put(None)  # for `take`, which tells of the end
                break
            if self._begin(ticket):
                taken.append(ticket)
        return taken

    def _begin(self, ticket: Ticket) -> bool:
        with self._lock:
            # A job that is no longer waiting was cancelled or bounced; an equal id may have come since.
            if self._waiting.get(ticket.job.id) is not ticket:
                return False
            self._running[ticket.job.id] = self._waiting.pop(ticket.job.id)
        return True

    @property
    def running(self) -> int:
        """How many jobs the runner has taken and not finished."""
        with self._lock:
            return len(self._running)

    def finish(self, job_id: str) -> bool:
        """Note that a job was answered. True when no other is running."""
        with self._lock:
            self._running.pop(job_id, None)
            return not self._running
