"""The scheduler's books: slots, instances and models. Only the scheduler writes them."""

import math
from dataclasses import dataclass, field

from .decisions import ModelLimits
from .queue import JobQueue
from .room import Share, least

NEVER = math.inf


@dataclass(slots=True, eq=False)
class Slot:
    """One place in an instance. `job` is None when idle; `context` is the prefix chain of what it read last."""

    job: str | None = None
    context: tuple[bytes, ...] = ()
    used_at: float = 0.0


@dataclass(slots=True, eq=False)
class InstanceSlots:
    """An instance as the scheduler sees it: `ready` once loaded. `ttl` is the model's, or what the last job asked."""

    id: str
    model: str
    number: int
    """Counts all instances of all models: of two with the same times, the older one is first."""
    capacity: int
    ttl: float
    share: Share = field(default_factory=Share)
    ready: bool = False
    gone: bool = False
    """It was taken out: it gets no jobs, and its process ends or has ended."""
    slots: list[Slot] = field(default_factory=list[Slot])
    running: int = 0
    """How many of the slots have a job."""
    idle_since: float = 0.0
    solo: bool = False
    """Its one job must stay alone."""
    yields_to: str = ""
    """It gets no more jobs: this other model has waited long enough for its room."""
    since: float = 0.0
    load_seconds: float = 0.0
    replaces: str = ""
    """The instance that leaves once this one is ready."""
    retiring: bool = False
    overdue: bool = False
    """It has had its room for as long as others are patient."""

    @property
    def accepts(self) -> bool:
        """Whether it has a slot for another job."""
        return self.ready and self.running < self.capacity and not self.solo and not self.yields_to

    @property
    def has_slot(self) -> bool:
        """Whether it has a slot for a job that belongs to one of its own, though it may be to yield."""
        return self.ready and self.running < self.capacity and not self.solo


class ModelState:
    """The scheduler's state of one model."""

    def __init__(self, limits: ModelLimits) -> None:
        """Start without jobs and instances."""
        self.limits = limits
        self.name = limits.name
        self.needed = least(limits.needs)
        self.queue = JobQueue()
        self.instances: dict[str, InstanceSlots] = {}
        self.leaving: set[str] = set()
        self.reserved = 0
        """Places in instances that are not ready yet: waiting jobs that count against them are not queued."""
        self.ready = 0
        """How many instances have loaded: `min_instances` of them do not end for want of work."""
        self.asked = False
        self.not_before = 0.0

    def change(self, limits: ModelLimits) -> None:
        """Go by other limits from now on."""
        if limits.ttl != self.limits.ttl:  # else what a job's `keep_alive` asked for stays
            for slots in self.instances.values():
                slots.ttl = limits.ttl
        self.limits, self.needed = limits, least(limits.needs)

    def has_idle_slot(self) -> bool:
        """Whether an instance has a slot for another job."""
        for slots in self.instances.values():  # noqa: SIM110 - asked several times an event, and twice as fast
            if slots.accepts:
                return True
        return False

    def add(self, slots: InstanceSlots) -> None:
        """Enter an instance that starts: its places are reserved."""
        self.instances[slots.id] = slots
        self.reserved += slots.capacity

    def make_ready(self, slots: InstanceSlots, capacity: int, load_seconds: float, now: float) -> None:
        """An instance has loaded: it has slots now."""
        self.reserved -= slots.capacity
        self.ready += 1
        slots.ready, slots.capacity, slots.load_seconds = True, capacity, load_seconds
        slots.idle_since = slots.since = now
        slots.slots = [Slot(used_at=now) for _ in range(capacity)]

    def take_out(self, slots: InstanceSlots) -> None:
        """From here on an instance gets no job; its process still counts until it is reaped."""
        if slots.ready:
            self.ready -= 1
        else:
            self.reserved -= slots.capacity
        slots.gone = True
        del self.instances[slots.id]
        self.leaving.add(slots.id)
