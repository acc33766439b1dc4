"""What the scheduler is told of a model, what it decides, and what it refuses."""

from dataclasses import dataclass

from .room import NOTHING, Needs, Share


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What the scheduler has to know of a model. `ttl` in seconds: 0 = end after each job, −1 = never."""

    name: str
    min_instances: int = 0
    max_instances: int = 1
    parallel: int = 1
    max_queue: int = 512
    ttl: float = 300.0
    needs: Needs = NOTHING


@dataclass(frozen=True, slots=True)
class Assign:
    """Give the job to the instance."""

    job: str
    instance: str


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start an instance of the model under this id."""

    model: str
    instance: str
    gpu: bool = False


@dataclass(frozen=True, slots=True)
class Drain:
    """End an instance after the jobs that it has: it is out of the scheduler already, so no job can race with it."""

    instance: str
    reason: str


Decision = Assign | Spawn | Drain


class QueueIsFull(Exception):
    """`max_queue` jobs wait already."""

    def __init__(self, waiting: int) -> None:
        """Keep how many wait."""
        super().__init__(f"{waiting} jobs are waiting")
        self.waiting = waiting


class NeverFits(Exception):
    """The model can never have the room it needs, whatever else is ended."""

    def __init__(self, needed: Share, possible: Share) -> None:
        """Keep both sides."""
        super().__init__(f"needed {needed}, possible {possible}")
        self.needed = needed
        self.possible = possible
