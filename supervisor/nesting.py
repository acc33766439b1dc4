"""Which nested jobs can never get a place: all that could serve them waits for them, or for one another. Pure.

A job that waits for a child goes on only when the child has ended, and keeps its slot, its GPU and its memory until
then. So a waiting child is live if its model has an instance that starts, or one with a job that will end, or room for
one more, where room counts only what instances hold whose jobs will all end. A running job will end unless one of its
descendants waits and is not live. `find_stuck` computes the least fixpoint: it begins with no job live, and what is
left when nothing more can be shown to be live would wait for ever.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """An instance and the jobs that it has."""

    instance: str
    jobs: tuple[str, ...] = ()
    loading: bool = False
    leaves: bool = False
    """It gets no more jobs, and ends with those that it has."""
    alone: bool = False
    """Its one job is to have no other beside it."""
    slots: int = 1

    def will_end(self, blocked: AbstractSet[str]) -> bool:
        """Whether all its jobs end, so that it can make room."""
        return blocked.isdisjoint(self.jobs)

    def will_serve(self, blocked: AbstractSet[str], *, solo: bool) -> bool:
        """Whether a slot of it is or comes free; with `solo` all of them."""
        if self.leaves:
            return False
        if self.loading or self.will_end(blocked):
            return True
        if solo or self.alone:
            return False
        return len(self.jobs) < self.slots or any(job not in blocked for job in self.jobs)


@dataclass(frozen=True, slots=True)
class Hope:
    """What a nested job that waits may hope for: the instances of its model, at most `limit`, or one more of them.

    `has_room` says whether there is room for one more, once the instances that have none of the given jobs have made
    what room they can.
    """

    job: str
    places: Sequence[Place]
    limit: int
    has_room: Callable[[AbstractSet[str]], bool]
    solo: bool = False

    def lives(self, blocked: AbstractSet[str]) -> bool:
        """Whether the job will get a slot although the jobs in `blocked` do not end."""
        if any(place.will_serve(blocked, solo=self.solo) for place in self.places):
            return True
        staying = sum(not place.leaves or not place.will_end(blocked) for place in self.places)
        return staying < self.limit and self.has_room(blocked)


def find_stuck(hopes: Iterable[Hope], parents: Mapping[str, str]) -> tuple[list[Hope], frozenset[str]]:
    """Return those that would wait for ever, and the running jobs that would never end because of them.

    `parents` has the parent of every nested job, waiting or running.
    """
    stuck = list(hopes)
    while True:
        blocked = frozenset(ancestor for hope in stuck for ancestor in ancestors(hope.job, parents))
        still = [hope for hope in stuck if not hope.lives(blocked)]
        if len(still) == len(stuck):
            return stuck, blocked
        stuck = still


def ancestors(job: str, parents: Mapping[str, str]) -> Iterator[str]:
    """Return a job's parent, its parent's parent and so on."""
    while parent := parents.get(job):
        yield parent
        job = parent


def describe_stuck(model: str, holders: Iterable[Place], blocked: AbstractSet[str]) -> str:
    """Say who holds what a stuck job of `model` needs."""
    held = [
        f"{place.instance} ({', '.join(f'job {job}' for job in place.jobs if job in blocked)})"
        for place in holders
        if not place.will_end(blocked)
    ]
    return (
        f"this nested job would wait for ever: what model {model!r} needs for it is held by {' and '.join(held)}, "
        "which cannot end before it does"
    )
