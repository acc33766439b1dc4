"""Which idle slot of a model a job gets: rules 1, 2 and 4 of the scheduler."""

from collections.abc import Set as AbstractSet
from typing import NamedTuple

from .queue import Waiting
from .slots import InstanceSlots, ModelState, Slot

NO_FAMILY: AbstractSet[str] = frozenset()


class Place(NamedTuple):
    """A slot for a job. `fresh` unless taking it costs the context of another conversation."""

    instance: InstanceSlots
    slot: Slot
    fresh: bool


def choose_place(state: ModelState, head: Waiting, family: AbstractSet[str] = NO_FAMILY) -> Place | None:
    """Return the idle slot with the longest common prefix, else an empty one, else the least recently used.

    The instances in `family` have ancestors of the job: they take it even if they are to yield, for they cannot before.
    """
    best: tuple[InstanceSlots, Slot] | None = None
    best_worth, best_used_at = -1, 0.0
    prefix = head.prefix
    for instance in state.instances.values():
        accepts = instance.accepts or (instance.id in family and instance.has_slot)
        if not accepts or (head.solo and instance.running):
            continue
        for slot in instance.slots:
            if slot.job is not None:
                continue
            context = slot.context
            worth = 2 * _shared(context, prefix) if context else 1
            if worth > best_worth or (worth == best_worth and slot.used_at < best_used_at):
                best, best_worth, best_used_at = (instance, slot), worth, slot.used_at
    return None if best is None else Place(*best, fresh=best_worth > 0 or not prefix)


def _shared(context: tuple[bytes, ...], prefix: tuple[bytes, ...]) -> int:
    if not prefix or context[0] != prefix[0]:  # the usual case, without the loop
        return 0
    count = 0
    for ours, theirs in zip(context, prefix, strict=False):
        if ours != theirs:
            break
        count += 1
    return count
