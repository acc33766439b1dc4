"""Room changes hands: who waits for it, who has had it long enough, who makes it (rule 5 of the scheduler). Pure.

The model that has the room keeps it while it has work, but not for longer than `swap_patience` and three times its load
time once another one waits; then its instance gets no more jobs, and leaves when it has finished those that it has.
"""

import heapq
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from .contenders import Contenders
from .nested_room import leavers_for_nested, spare_instances
from .room import Gpu, Room, Share
from .slots import NEVER, InstanceSlots, ModelState
from .tenants import Tenants

SLACK = 64
"""So many entries of instances that are gone are not worth the sweeping."""
LOADS_KEPT = 3
"""A model keeps its room for at least this many times what loading it took."""


class Swaps:
    """The one owner of the room, of the line before it and of `yields_to`."""

    def __init__(self, total: Share, models: Mapping[str, ModelState], patience: float) -> None:
        """`total` is what the instances share, `models` the scheduler's, `patience` in seconds."""
        self.room = Room(total)
        self.line = Contenders()
        self._tenants = Tenants()
        self._models = models
        self._patience = patience
        self._patience_ends: list[tuple[float, int, InstanceSlots]] = []
        self._sweep_at = SLACK
        self._yielding: dict[str, InstanceSlots] = {}

    def change(self, total: Share, patience: float) -> None:
        """Go by another total and another patience from now on."""
        self.room.resize(total)
        self._patience = patience

    # What happens to instances

    def take(self, state: ModelState, slots: InstanceSlots) -> bool:
        """Give a new instance its share; true if that has a GPU slot."""
        share = state.needed
        extra = Share(gpu=1)
        if state.limits.needs.gpu is Gpu.AUTO and self.room.free.covers(extra):
            share = share if self.line.is_ahead(state.name, extra) else share + extra
        slots.share = share
        self.room.take(slots.id, share)
        return share.gpu > 0

    def on_ready(self, slots: InstanceSlots) -> None:
        """An instance has loaded: from now on others are patient, for a while."""
        ends = slots.since + max(self._patience, LOADS_KEPT * slots.load_seconds)
        if len(self._patience_ends) >= self._sweep_at:  # nobody may wait for months, and instances come and go
            self._patience_ends = [entry for entry in self._patience_ends if not entry[2].gone]
            heapq.heapify(self._patience_ends)
            self._sweep_at = 2 * len(self._patience_ends) + SLACK
        heapq.heappush(self._patience_ends, (ends, slots.number, slots))

    def note(self, state: ModelState) -> None:
        """Something of a model or of its instances has changed."""
        self._tenants.note(state)

    def on_taken_out(self, slots: InstanceSlots) -> None:
        """An instance leaves: what it holds is coming."""
        self._tenants.forget(slots)
        self._yielding.pop(slots.id, None)
        self.room.expect(slots.id)

    def forget(self, state: ModelState) -> None:
        """A model without instances is no more."""
        self._tenants.forget_model(state)

    # What models want

    def is_possible(self, state: ModelState) -> bool:
        """Whether a model can ever have the room it needs."""
        return self.most(state).covers(state.needed)

    def most(self, state: ModelState) -> Share:
        """Return the most that can ever be free for an instance of the model."""
        return self.room.total - self.room.pinned + pinned(state)

    def has_room(self, state: ModelState) -> bool:
        """Whether an instance of the model fits now and nobody is ahead of it; nobody is ahead of nested jobs."""
        if not self.room.free.covers(state.needed):
            return False
        return not self.line.is_ahead(state.name, state.needed) or state.queue.nested > 0

    def can_have_room(self, state: ModelState, occupied: AbstractSet[str]) -> bool:
        """Whether there can be room for the nested jobs of a model although the instances in `occupied` do not end."""
        possible = self.room.free + self.room.coming_without(occupied)
        for slots in spare_instances(self._models.values(), state, occupied):
            possible = possible + slots.share
        return possible.covers(state.needed)

    def make_room(self, state: ModelState, now: float, occupied: AbstractSet[str] = frozenset()) -> list[InstanceSlots]:
        """Put a model in line, and return who is to be ended for it now; others with work are to yield.

        Nested jobs count on none of the instances in `occupied`, whose jobs may be waiting for them.
        """
        needed, free = state.needed, self.room.free
        memory, gpu = needed.memory > max(0, free.memory), needed.gpu > max(0, free.gpu)
        if not memory and not gpu:  # it lacks nothing, but others are ahead
            memory, gpu = needed.memory > 0, needed.gpu > 0
        nested = state.queue.nested > 0
        self.line.add(state.name, memory=memory, gpu=gpu, first=nested)
        available = free + (self.room.coming_without(occupied) if occupied else self.room.coming)
        if available.covers(needed):
            return []
        self._promote(now)
        self._tenants.note(state)
        if nested:
            chosen = leavers_for_nested(self._models.values(), state, occupied, available)
        else:
            chosen = self._tenants.choose(needed, available, now, state)
        leavers: list[InstanceSlots] = []
        for slots in chosen:
            if slots.running:
                slots.yields_to = state.name
                self._yielding[slots.id] = slots
                self.room.expect(slots.id)
                self._tenants.note(self._models[slots.model])
            else:
                leavers.append(slots)
        return leavers

    def settle(self, state: ModelState) -> list[ModelState]:
        """The model waits for no room any more; if nobody does, return whose instances need not yield now."""
        if not self.line.remove(state.name) or self.line:
            return []
        released = [self._models[slots.model] for slots in self._yielding.values()]
        for slots in self._yielding.values():
            slots.yields_to = ""
            self.room.keep(slots.id)
        self._yielding.clear()
        for model in released:
            self._tenants.note(model)
        return released

    def next_due(self, now: float) -> float:
        """Return when the next patience ends, `NEVER` if nobody waits. What is over was looked at."""
        if not self.line:
            return NEVER
        self._promote(now)
        return self._patience_ends[0][0] if self._patience_ends else NEVER

    def _promote(self, now: float) -> None:
        ends = self._patience_ends
        while ends and (ends[0][0] <= now or ends[0][2].gone):
            _, _, slots = heapq.heappop(ends)
            if not slots.gone:
                slots.overdue = True
                self._tenants.note(self._models[slots.model])


def pinned(state: ModelState) -> Share:
    """Return what a model's `min_instances` take."""
    count = state.limits.min_instances
    return Share(state.needed.memory * count, state.needed.gpu * count)
