"""Who could be ended to make room, and who of them goes first. Pure, and never a walk over all instances.

First go those without work, the least valuable first: idle time ÷ load time, where load times count in powers of two.
They vary by that much from load to load, and it makes the order within a power of two the order of idling, which does
not change with time. Then those that still have work but have had their room for long enough, the longest first.

`min_instances` keeps the rest; but of a model that can do without a GPU it keeps an instance, not the GPU slot.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from typing import NamedTuple

from .room import Gpu, Share
from .slots import InstanceSlots, ModelState

NONE = Share()


class Entry(NamedTuple):
    """An instance and since when it is what the book says; `number` orders those of the same time."""

    since: float
    number: int
    slots: InstanceSlots


class Book:
    """Instances in the order of `since`, apart by load time and by whether they have a GPU slot; and their sum."""

    def __init__(self) -> None:
        """Start empty."""
        self.memory = 0
        self.gpu = 0
        self._shelves: dict[tuple[bool, int], list[Entry]] = {}
        self._entries: dict[InstanceSlots, tuple[tuple[bool, int], Entry]] = {}

    def enter(self, slots: InstanceSlots, since: float, power: int = 0) -> None:
        """Enter an instance; `power` is the power of two of its load time."""
        shelf, entry = (slots.share.gpu > 0, power), Entry(since, slots.number, slots)
        self._entries[slots] = shelf, entry
        insort(self._shelves.setdefault(shelf, []), entry)
        self.memory += slots.share.memory
        self.gpu += slots.share.gpu

    def strike(self, slots: InstanceSlots) -> None:
        """Take out an instance that is in."""
        shelf, entry = self._entries.pop(slots)
        entries = self._shelves[shelf]
        del entries[bisect_left(entries, entry)]
        if not entries:
            del self._shelves[shelf]
        self.memory -= slots.share.memory
        self.gpu -= slots.share.gpu

    def of(self, state: ModelState) -> list[InstanceSlots]:
        """Return the instances of one model."""
        return [slots for slots in state.instances.values() if slots in self._entries]

    def in_order(self, key: Callable[[Entry], float], *, gpu: bool) -> Iterator[InstanceSlots]:
        """Yield the instances, or with `gpu` those with a GPU slot, by a key that follows `since` on each shelf."""
        shelves = [entries for (has_gpu, _), entries in self._shelves.items() if has_gpu or not gpu]
        return (entry.slots for entry in merge(*shelves, key=key))


class Tenants:
    """The books of the instances that may be ended, brought up to date only when somebody asks."""

    def __init__(self) -> None:
        """Start empty."""
        self._idle = Book()
        self._overdue = Book()
        self._listed: dict[InstanceSlots, tuple[Book, float]] = {}
        self._movable: set[InstanceSlots] = set()
        """Kept by `min_instances`, in a GPU slot that the model does not need."""
        self._changed: dict[ModelState, None] = {}

    def note(self, state: ModelState) -> None:
        """Something of a model or of its instances has changed."""
        self._changed[state] = None

    def forget(self, slots: InstanceSlots) -> None:
        """An instance is gone."""
        self._movable.discard(slots)
        known = self._listed.pop(slots, None)
        if known is not None:
            known[0].strike(slots)

    def forget_model(self, state: ModelState) -> None:
        """A model is no more."""
        self._changed.pop(state, None)

    def choose(self, needed: Share, available: Share, now: float, contender: ModelState) -> list[InstanceSlots]:
        """Return who has to leave so that `available` comes to cover `needed`; none if all of them do not suffice."""
        for state in self._changed:
            self._review(state)
        self._changed.clear()
        moved = self._movers(needed.gpu - available.gpu)
        # Only their GPU slot comes free: they start again on the processor, with the same memory.
        return moved + self._leavers(needed, Share(available.memory, available.gpu + len(moved)), now, contender)

    def _movers(self, lacking: int) -> list[InstanceSlots]:
        """Return instances that `min_instances` keeps but that need no GPU, if nobody else can give those slots."""
        short = lacking - self._idle.gpu - self._overdue.gpu
        if short <= 0 or short > len(self._movable):
            return []
        return sorted(self._movable, key=lambda slots: (slots.running > 0, slots.idle_since, slots.number))[:short]

    def _leavers(self, needed: Share, available: Share, now: float, contender: ModelState) -> list[InstanceSlots]:
        idle, overdue = self._idle, self._overdue
        possible = Share(available.memory + idle.memory, available.gpu + idle.gpu)
        if possible.covers(needed):
            return choose_leavers(needed, available, lambda gpu: self._idle_ones(now, gpu=gpu))
        possible = Share(possible.memory + overdue.memory, possible.gpu + overdue.gpu)
        for slots in overdue.of(contender):  # none of its own is idle while it wants more
            possible = possible - slots.share
        if not possible.covers(needed):
            return []
        return choose_leavers(needed, available, lambda gpu: self._all(now, contender, gpu=gpu))

    def _idle_ones(self, now: float, *, gpu: bool) -> Iterator[InstanceSlots]:
        return self._idle.in_order(lambda entry: (entry.since - now) / 2.0 ** power_of(entry.slots), gpu=gpu)

    def _all(self, now: float, contender: ModelState, *, gpu: bool) -> Iterator[InstanceSlots]:
        yield from self._idle_ones(now, gpu=gpu)
        for slots in self._overdue.in_order(lambda entry: entry.since, gpu=gpu):
            if slots.model != contender.name:
                yield slots

    def _review(self, state: ModelState) -> None:
        """Enter those of a model's instances that may be ended: as many as it has beyond `min_instances`."""
        there: Iterable[InstanceSlots] = state.instances.values()
        keeps = state.limits.min_instances
        spare = state.ready
        if keeps:
            spare -= keeps + sum(bool(slots.yields_to) for slots in there)
            there = sorted(there, key=lambda slots: (slots.running > 0, slots.idle_since))
        for slots in there:
            has_work = slots.running > 0 or state.queue.size > 0
            book = self._overdue if has_work else self._idle
            stays = not slots.ready or bool(slots.yields_to) or (has_work and not slots.overdue)
            if stays or spare <= 0:
                self.forget(slots)
                if not stays and slots.share.gpu and state.limits.needs.gpu is Gpu.AUTO:
                    self._movable.add(slots)
                continue
            spare -= 1
            since = slots.since if has_work else slots.idle_since
            known = self._listed.get(slots)
            if known != (book, since):
                self.forget(slots)
                self._listed[slots] = book, since
                book.enter(slots, since, 0 if has_work else power_of(slots))


def power_of(slots: InstanceSlots) -> int:
    """Return the power of two of its load time in seconds, from a millisecond upwards."""
    return math.frexp(max(slots.load_seconds, 0.001))[1]


def choose_leavers(
    needed: Share, available: Share, in_order: Callable[[bool], Iterable[InstanceSlots]]
) -> list[InstanceSlots]:
    """Take them in order until `available` comes to cover `needed`, first for the GPU slot; nobody for nothing.

    `in_order` returns the candidates, with true only those with a GPU slot; all together they have to suffice. One
    whose leaving turns out not to be necessary stays.
    """
    leavers: list[InstanceSlots] = []
    for kind, gpu in ((Share(gpu=needed.gpu), True), (needed, False)):
        if available.covers(kind):
            continue
        for slots in in_order(gpu):
            if slots not in leavers:
                leavers.append(slots)
                available = available + slots.share
                if available.covers(kind):
                    break
    for slots in tuple(leavers):
        without = available - slots.share
        if without.covers(needed):
            leavers.remove(slots)
            available = without
    return leavers
