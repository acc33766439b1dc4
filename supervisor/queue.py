"""The queue of one model: which waiting job is next. Pure: no clock, no I/O.

Order: effective priority (the job's own, plus one per 10 s waited), then round-robin over clients, then arrival. So
nobody starves, and a batch of one client does not keep another's chat waiting.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass

AGING_SECONDS = 10.0
"""Waiting this long counts as one step of priority."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job as the queue sees it; `arrived` is on the scheduler's clock and `order` breaks ties."""

    job: str
    model: str
    client: str
    priority: int
    arrived: float
    order: int
    prefix: tuple[bytes, ...] = ()
    solo: bool = False
    """It must have an instance to itself: it was in a batch whose worker died, and one of the batch is to blame."""

    def effective_priority(self, now: float) -> int:
        """Return the priority with what waiting has added."""
        return self.priority + int((now - self.arrived) / AGING_SECONDS)


class JobQueue:
    """Jobs of one model that wait for a slot. Choosing costs O(clients × priorities in use), not O(jobs)."""

    def __init__(self) -> None:
        """Start empty."""
        self._lanes: dict[tuple[str, int], deque[Waiting]] = {}
        self._jobs: dict[str, Waiting] = {}
        self._turns: OrderedDict[str, int] = OrderedDict()
        self._turn = 0

    def __len__(self) -> int:
        """Return how many jobs wait."""
        return len(self._jobs)

    def __contains__(self, job: str) -> bool:
        """Say whether this job waits here."""
        return job in self._jobs

    def push(self, waiting: Waiting) -> None:
        """Add a job behind its client's others of the same priority; a job put back goes by its first arrival."""
        lane = self._lanes.setdefault((waiting.client, waiting.priority), deque())
        if lane and waiting.order < lane[0].order:
            lane.appendleft(waiting)
        else:
            lane.append(waiting)
        self._jobs[waiting.job] = waiting

    def remove(self, job: str) -> Waiting | None:
        """Take a job out; None when it is not here."""
        waiting = self._jobs.pop(job, None)
        if waiting is not None:
            self._forget(waiting)
        return waiting

    def peek(self, now: float) -> Waiting | None:
        """Return the next job, without taking it."""
        return min((lane[0] for lane in self._lanes.values()), key=lambda head: self._rank(head, now), default=None)

    def pop(self, now: float) -> Waiting | None:
        """Take the next job; its client goes to the end of the round."""
        head = self.peek(now)
        if head is None:
            return None
        del self._jobs[head.job]
        self._forget(head)
        self._turn += 1
        self._turns[head.client] = self._turn
        self._turns.move_to_end(head.client)
        self._prune()
        return head

    def drain(self) -> list[Waiting]:
        """Take everything out, in order of arrival."""
        jobs = sorted(self._jobs.values(), key=lambda waiting: waiting.order)
        self._jobs.clear()
        self._lanes.clear()
        return jobs

    def jobs(self) -> list[Waiting]:
        """Return all waiting jobs, in order of arrival."""
        return sorted(self._jobs.values(), key=lambda waiting: waiting.order)

    def _rank(self, head: Waiting, now: float) -> tuple[int, int, int]:
        return (-head.effective_priority(now), self._turns.get(head.client, 0), head.order)

    def _forget(self, waiting: Waiting) -> None:
        lane = self._lanes[waiting.client, waiting.priority]
        lane.remove(waiting)
        if not lane:
            del self._lanes[waiting.client, waiting.priority]

    def _prune(self) -> None:
        # Clients come and go for months; those that were not served for long have no turn to remember.
        while len(self._turns) > 1024:
            self._turns.popitem(last=False)
