"""The queue of one model: which waiting job is next. Pure: no clock, no I/O.

Order: jobs that others wait for, then effective priority (the job's own, plus one per 10 s waited), then round-robin
over clients, then arrival. So nobody starves, and a batch of one client does not keep another's chat waiting.
"""

from bisect import bisect_left, insort
from collections import OrderedDict
from operator import attrgetter
from typing import NamedTuple

NESTED_FIRST = 2**62
"""What the order of nested jobs is less: they count as arrived before all others."""
AGING_SECONDS = 10.0
"""Waiting this long counts as one step of priority."""
REMEMBERED_CLIENTS = 1024
"""Clients come and go for months; those that were not served for long have no turn to remember."""


class Waiting(NamedTuple):
    """A job as the queue sees it; `arrived` is on the scheduler's clock and `order` breaks ties."""

    job: str
    model: str
    client: str
    priority: int
    arrived: float
    order: int
    prefix: tuple[bytes, ...] = ()
    keep_alive: float | None = None
    solo: bool = False
    """It must have an instance to itself: it was in a batch whose worker died, and one of the batch is to blame."""
    parent: str = ""
    """The running job that waits for this one; its `order` is then less by `NESTED_FIRST`."""


_ORDER = attrgetter("order")


class JobQueue:
    """Jobs of one model that wait for a slot. Choosing costs O(clients × priorities in use), not O(jobs)."""

    def __init__(self) -> None:
        """Start empty. `size` is how many jobs wait, `nested` how many of them have a parent; only read them."""
        self.size = self.nested = 0
        self._lanes: dict[tuple[str, int], list[Waiting]] = {}
        self._jobs: dict[str, Waiting] = {}
        self._orders: list[int] = []
        self._turns: OrderedDict[str, int] = OrderedDict()
        self._turn = 0

    def __contains__(self, job: str) -> bool:
        """Say whether this job waits here."""
        return job in self._jobs

    def push(self, waiting: Waiting) -> None:
        """Add a job; among its client's others of the same priority it goes by its (first) arrival."""
        lane = self._lanes.setdefault((waiting.client, waiting.priority), [])
        insort(lane, waiting, key=_ORDER)
        insort(self._orders, waiting.order)
        self._jobs[waiting.job] = waiting
        self.size += 1
        if waiting.parent:
            self.nested += 1

    def remove(self, job: str) -> Waiting | None:
        """Take a job out; None when it is not here."""
        waiting = self._jobs.pop(job, None)
        if waiting is not None:
            self.size -= 1
            if waiting.parent:
                self.nested -= 1
            lane = self._lanes[waiting.client, waiting.priority]
            del lane[bisect_left(lane, waiting.order, key=_ORDER)]
            if not lane:
                del self._lanes[waiting.client, waiting.priority]
            del self._orders[bisect_left(self._orders, waiting.order)]
        return waiting

    def peek(self, now: float) -> Waiting | None:
        """Return the next job, without taking it."""
        best: Waiting | None = None
        best_priority, best_turn = 0.0, 0
        for lane in self._lanes.values():
            head = lane[0]  # of a client's jobs the nested ones arrived first
            if self.nested and not head.parent:
                continue
            priority = head.priority + (now - head.arrived) // AGING_SECONDS
            if best is not None and priority < best_priority:
                continue
            turn = self._turns.get(head.client, 0)
            if best is None or priority > best_priority or (turn, head.order) < (best_turn, best.order):
                best, best_priority, best_turn = head, priority, turn
        return best

    def take(self, head: Waiting) -> None:
        """Take the job that `peek` returned; its client goes to the end of the round."""
        self.remove(head.job)
        self.note_turn(head.client)

    def note_turn(self, client: str) -> None:
        """A client has had its turn, also with a job that need not wait."""
        self._turn += 1
        self._turns[client] = self._turn
        self._turns.move_to_end(client)
        if len(self._turns) > REMEMBERED_CLIENTS:
            self._turns.popitem(last=False)

    def drain(self) -> list[Waiting]:
        """Take everything out, in order of arrival."""
        jobs = sorted(self._jobs.values(), key=_ORDER)
        self._jobs.clear()
        self._lanes.clear()
        self._orders.clear()
        self.size = self.nested = 0
        return jobs

    def position(self, job: str) -> int:
        """Return how many waiting jobs arrived before this one, 0 when it does not wait."""
        waiting = self._jobs.get(job)
        return 0 if waiting is None else bisect_left(self._orders, waiting.order)
