"""When the next TTL passes, without looking at all instances: a heap whose entries may be early, never late."""

import heapq
from collections.abc import Callable

from .slots import NEVER, InstanceSlots

SLACK = 64
"""So many entries of instances that are gone are not worth the sweeping."""


class Expiry:
    """Instances by when they end. What is true is asked of `expires_at`; the heap only knows when to ask.

    An instance that is used again has its entry left alone: when its time comes, it is entered again for the true one.
    So a job costs no heap operation, and an instance has one entry that counts.
    """

    def __init__(self, expires_at: Callable[[InstanceSlots], float]) -> None:
        """`expires_at` returns the time on the scheduler's clock at which an instance ends as things are."""
        self._expires_at = expires_at
        self._heap: list[tuple[float, int, InstanceSlots]] = []
        self._entered: dict[InstanceSlots, float] = {}

    def update(self, slots: InstanceSlots) -> None:
        """Something has changed that may let an instance end earlier than it was entered for."""
        at = self._expires_at(slots)
        if at < self._entered.get(slots, NEVER):
            self._entered[slots] = at
            heapq.heappush(self._heap, (at, slots.number, slots))

    def next(self) -> float:
        """Return when the first one ends, `NEVER` if none does."""
        while self._heap:
            at, _, slots = self._heap[0]
            if self._entered.get(slots) == at:
                if self._expires_at(slots) == at:
                    return at
                del self._entered[slots]
                heapq.heappop(self._heap)
                self.update(slots)
            else:
                heapq.heappop(self._heap)  # entered again for an earlier time
        return NEVER

    def pop_due(self, now: float) -> InstanceSlots | None:
        """Take out one whose time has come."""
        if self.next() > now:
            return None
        _, _, slots = heapq.heappop(self._heap)
        del self._entered[slots]
        return slots

    def forget(self, slots: InstanceSlots) -> None:
        """The instance is gone."""
        self._entered.pop(slots, None)
        if len(self._heap) > 2 * len(self._entered) + SLACK:
            self._heap = [(at, slots.number, slots) for slots, at in self._entered.items()]
            heapq.heapify(self._heap)
