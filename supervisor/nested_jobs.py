"""The nested jobs that the scheduler has: whose children they are, who of them waits, and what that keeps occupied."""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from .nesting import Hope, Place, ancestors, describe_stuck, find_stuck
from .queue import Waiting
from .slots import InstanceSlots, ModelState, Slot

Running = Mapping[str, tuple[Waiting, Slot, InstanceSlots]]
"""The jobs that have a slot, in which instance."""
HasRoom = Callable[[ModelState, AbstractSet[str]], bool]
"""Whether there can be room for an instance of a model although the instances with these ids do not end."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """A waiting job that would never get a slot, and why, in words for its client.

    `always`: only its own ancestors are in its way, so they would be if they asked again.
    """

    job: str
    reason: str
    always: bool


class NestedJobs:
    """Kept by the scheduler, which tells it of nested jobs only: without them it costs nothing."""

    def __init__(self, models: Mapping[str, ModelState], jobs: Running) -> None:
        """`models` and `jobs` are the scheduler's own."""
        self.running = 0
        """How many nested jobs have a slot."""
        self.waiting: dict[str, Waiting] = {}
        """Those that have none; do not change it."""
        self._models = models
        self._jobs = jobs
        self._parents: dict[str, str] = {}

    def add(self, waiting: Waiting) -> None:
        """A new one waits."""
        self._parents[waiting.job] = waiting.parent
        self.waiting[waiting.job] = waiting

    def begin(self, job: str) -> None:
        """It has got a slot."""
        del self.waiting[job]
        self.running += 1

    def put_back(self, waiting: Waiting) -> None:
        """It has lost its slot and waits again."""
        self.waiting[waiting.job] = waiting
        self.running -= 1

    def end(self, job: str) -> None:
        """It has left its slot or the queue."""
        del self._parents[job]
        if self.waiting.pop(job, None) is None:
            self.running -= 1

    def models(self) -> set[str]:
        """Return the models that nested jobs wait for."""
        return {waiting.model for waiting in self.waiting.values()}

    def family(self, job: str) -> frozenset[str]:
        """Return the instances that a job's ancestors occupy."""
        return self._instances_of(ancestors(job, self._parents))

    def occupied(self) -> frozenset[str]:
        """Return the instances that cannot end before a nested job gets a slot."""
        return frozenset(instance for job in self.waiting for instance in self.family(job))

    def find_stuck(self, has_room: HasRoom, *, may_spawn: bool) -> Stuck | None:
        """Return the youngest of those that would wait for ever, None if there are none."""
        if not self.waiting:
            return None
        jobs_on: dict[str, tuple[str, ...]] = {}
        for job, (_, _, slots) in self._jobs.items():
            jobs_on[slots.id] = (*jobs_on.get(slots.id, ()), job)
        hopes = [self._hope(one, jobs_on, has_room, may_spawn=may_spawn) for one in self.waiting.values()]
        stuck, blocked = find_stuck(hopes, self._parents)
        if not stuck:
            return None
        last = self.waiting[max((hope.job for hope in stuck), key=lambda job: self.waiting[job].order)]
        holders = [Place(instance, jobs) for instance, jobs in jobs_on.items() if not blocked.isdisjoint(jobs)]
        always = blocked.issubset(ancestors(last.job, self._parents))
        return Stuck(last.job, describe_stuck(last.model, holders, blocked), always)

    def _hope(
        self, waiting: Waiting, jobs_on: Mapping[str, tuple[str, ...]], has_room: HasRoom, *, may_spawn: bool
    ) -> Hope:
        state, family = self._models[waiting.model], self.family(waiting.job)
        places = [
            Place(
                slots.id,
                jobs_on.get(slots.id, ()),
                loading=not slots.ready,
                leaves=bool(slots.yields_to) and slots.id not in family,
                alone=slots.solo,
                slots=slots.capacity,
            )
            for slots in state.instances.values()
        ]
        places += [Place(instance, jobs_on.get(instance, ()), leaves=True) for instance in state.leaving]
        limit = state.limits.max_instances if may_spawn else 0
        return Hope(
            waiting.job,
            places,
            limit,
            lambda blocked: has_room(state, self._instances_of(blocked)),
            solo=waiting.solo,
        )

    def _instances_of(self, jobs: Iterable[str]) -> frozenset[str]:
        return frozenset(self._jobs[job][2].id for job in jobs if job in self._jobs)
