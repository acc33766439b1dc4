"""Where a prompt goes in the KV cache and what of it is there already: pure decisions, without llama.cpp.

Each slot is one sequence of tokens in a cache of `cells` that all share. A slot that no answer uses keeps its tokens,
for prompts that begin with them; the preloaded one keeps them for ever.

Why a full cache makes progress: an answer gets a slot only together with a reservation for all that it may come to
hold, prompt and answer, and the reservations of running answers, the tokens kept in idle slots and the preloaded ones
never exceed `cells` (idle tokens are forgotten as needed). So a running answer never lacks a cell: it comes to its end
after at most as many steps as it has reserved tokens, without anybody else having to give way. Prompts wait in the
order of their arrival, and a reservation is at most `cells` less the preloaded tokens: so the first in line fits at
the latest when those before it have ended. Prefixes that sequences share count in full for each, which only errs on
the safe side.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

WORTH_WAITING = 32
"""Tokens that another answer is about to read and that this one has in common: waiting is cheaper than reading."""
MOSTLY = 0.5
"""A slot is taken over together with its prefix if at least this share of its tokens stays; else it is copied from."""


@dataclass(eq=False, slots=True)
class Slot:
    """One sequence: the tokens that are in the cache, and those that its answer is about to read."""

    id: int
    tokens: list[int] = field(default_factory=list[int])
    coming: Sequence[int] = ()
    reserved: int = 0
    used_at: int = 0

    @property
    def busy(self) -> bool:
        """Whether an answer uses it."""
        return self.reserved > 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a prompt goes. Its first `kept` tokens are in `slot`, or in `source` from which they are to be copied.

    `evicted` slots are to be emptied first.
    """

    slot: Slot
    kept: int = 0
    source: Slot | None = None
    evicted: tuple[Slot, ...] = ()


class Slots:
    """The sequences of one context. It decides; `take`, `give_back` and the tokens are written by the caller."""

    def __init__(self, count: int, cells: int, *, can_cut: bool = True, preloaded: Sequence[int] = ()) -> None:
        """`cells` hold `count` sequences and `preloaded`; without `can_cut` a sequence can only be reused whole."""
        self.slots = [Slot(i) for i in range(count)]
        self.preloaded = Slot(count, list(preloaded))
        self._cells = cells - len(preloaded)
        self._can_cut = can_cut
        self._clock = 0

    @property
    def used(self) -> int:
        """The tokens that are kept or in use; shared ones count for each sequence."""
        return sum(len(slot.tokens) for slot in self.slots) + len(self.preloaded.tokens)

    def place(self, prompt: Sequence[int], reserved: int, *, reuse: bool = True) -> Place | None:
        """Return where a prompt goes that will come to hold `reserved` tokens; None: not now.

        At least its last token is left to be read. Without `reuse` all are.
        """
        idle = [slot for slot in self.slots if not slot.busy]
        running = sum(slot.reserved for slot in self.slots)
        if not idle or running + reserved > self._cells:
            return None
        source, kept = self._longest(prompt) if reuse else (None, 0)
        if reuse and self._is_coming(prompt, kept):
            return None
        slot = self._target(idle, source, kept)
        evicted = tuple(self._evicted(idle, slot, source, running + reserved))
        return Place(slot, kept, None if source is slot else source, evicted)

    def take(self, place: Place, prompt: Sequence[int], reserved: int) -> Slot:
        """Note that an answer uses the place; the caller has done to the cache what it says."""
        for slot in place.evicted:
            slot.tokens.clear()
        slot = place.slot
        slot.tokens[:] = prompt[: place.kept]
        slot.coming, slot.reserved = prompt, reserved
        return slot

    def give_back(self, slot: Slot) -> None:
        """Note that the slot's answer is over; its tokens stay for others."""
        self._clock += 1
        slot.reserved, slot.coming, slot.used_at = 0, (), self._clock

    def _longest(self, prompt: Sequence[int]) -> tuple[Slot | None, int]:
        """Return the slot that shares the longest beginning with the prompt; an idle one if several do."""
        best: Slot | None = None
        most = 0
        wanted = list(prompt[:-1])
        for slot in (*self.slots, self.preloaded):
            common = common_prefix(slot.tokens, wanted)
            if not self._can_cut and common < len(slot.tokens):
                continue
            if common > most or (common == most > 0 and best is not None and best.busy and not slot.busy):
                best, most = slot, common
        return best, most

    def _is_coming(self, prompt: Sequence[int], kept: int) -> bool:
        """Say whether a running answer is about to read much of this prompt."""
        if not self._can_cut:
            return False
        wanted = list(prompt[:-1])
        for slot in self.slots:
            if slot.busy and len(slot.tokens) < len(slot.coming):
                common = common_prefix(list(slot.coming), wanted)
                if common >= kept + WORTH_WAITING and common > len(slot.tokens):
                    return True
        return False

    def _target(self, idle: Sequence[Slot], source: Slot | None, kept: int) -> Slot:
        if source is not None and source in idle and kept >= MOSTLY * len(source.tokens):
            return source
        others = [slot for slot in idle if slot is not source] or list(idle)
        return min(others, key=lambda slot: (len(slot.tokens) > 0, slot.used_at))

    def _evicted(self, idle: Sequence[Slot], slot: Slot, source: Slot | None, needed: int) -> Iterator[Slot]:
        """Yield idle slots to be emptied so that all reservations and kept tokens fit; the source as the last."""
        kept = [other for other in idle if other is not slot and other.tokens]
        kept.sort(key=lambda other: (other is source, other.used_at))
        total = needed + sum(len(other.tokens) for other in kept)
        for other in kept:
            if total <= self._cells:
                return
            total -= len(other.tokens)
            yield other


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many tokens two lists have in common at the beginning."""
    low, high = 0, min(len(first), len(second))
    # Slices are compared in C: many times faster than a loop over single tokens.
    if first[:high] == second[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
