"""The scheduler's books: slots, instances and models. Only the scheduler writes them."""

from dataclasses import dataclass, field

from .decisions import ModelLimits
from .queue import JobQueue


@dataclass(slots=True)
class Slot:
    """One place in an instance. `job` is None when idle; `context` is the prefix chain of what it read last."""

    job: str | None = None
    context: tuple[bytes, ...] = ()
    used_at: float = 0.0


@dataclass(slots=True)
class InstanceSlots:
    """An instance as the scheduler sees it: `ready` once loaded. `ttl` is the model's, or what the last job asked."""

    id: str
    model: str
    capacity: int
    ttl: float
    ready: bool = False
    slots: list[Slot] = field(default_factory=list[Slot])
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

    @property
    def running(self) -> int:
        """How many jobs it has."""
        return sum(slot.job is not None for slot in self.slots)


class ModelState:
    """The scheduler's state of one model."""

    def __init__(self, limits: ModelLimits) -> None:
        """Start without jobs and instances."""
        self.limits = limits
        self.queue = JobQueue()
        self.instances: dict[str, InstanceSlots] = {}
        self.leaving: set[str] = set()
        self.asked = False
        self.not_before = 0.0

    @property
    def reserved(self) -> int:
        """Places in instances that are not ready yet: waiting jobs that count against them are not queued."""
        return sum(instance.capacity for instance in self.instances.values() if not instance.ready)
