"""Room for nested jobs: who may be ended for it although others wait for them, never who waits for it himself. Pure.

Nested jobs are few, so this walks over all instances, where `tenants` has books for the jobs of clients.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

from .room import Share
from .slots import InstanceSlots, ModelState
from .tenants import NONE, choose_leavers


def spare_instances(
    models: Iterable[ModelState], contender: ModelState, occupied: AbstractSet[str]
) -> Iterator[InstanceSlots]:
    """Yield the instances that can be ended for the contender at some time, of each model those without work first.

    Those in `occupied` cannot, nor those of which `min_instances` have to be.
    """
    for state in models:
        if state is contender:
            continue
        there = state.instances.values()
        leaving = sum(bool(one.yields_to) and one.id not in occupied for one in there)
        mine = [one for one in there if not one.yields_to and one.share != NONE and one.id not in occupied]
        mine.sort(key=lambda slots: (slots.running > 0, slots.idle_since))
        yield from mine[: max(0, len(there) - leaving - state.limits.min_instances)]


def leavers_for_nested(
    models: Iterable[ModelState], contender: ModelState, occupied: AbstractSet[str], available: Share
) -> list[InstanceSlots]:
    """Return who is to leave now so that `available` comes to cover what the contender needs; none if that fails."""
    by_name = {state.name: state for state in models}
    ready = [
        slots
        for slots in spare_instances(by_name.values(), contender, occupied)
        if slots.ready and (slots.overdue or not (slots.running or by_name[slots.model].queue.size))
    ]
    ready.sort(key=lambda slots: (slots.running > 0, slots.idle_since))
    possible = available
    for slots in ready:
        possible = possible + slots.share
    if not possible.covers(contender.needed):
        return []
    return choose_leavers(contender.needed, available, lambda gpu: (one for one in ready if one.share.gpu or not gpu))
