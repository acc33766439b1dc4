"""Why an instance ended, and what that is to the jobs it had."""

from dataclasses import dataclass
from enum import Enum

from infsup.protocol.errors import InfsupError, OutOfMemory, WorkerCrashed, WorkerStalled

OOM_RETRY_SECONDS = 5.0


class Why(Enum):
    """The kind of a death."""

    EXIT = "exit"
    """The process ended by itself: an exit status or a signal that nobody here sent."""
    START = "start"
    """It could not be executed."""
    LOAD = "load"
    """It said that it cannot load the model."""
    STALL = "stall"
    """It made no progress and was ended."""
    MEMORY = "memory"
    """The kernel ended it for want of memory."""
    ENDED = "ended"
    """Somebody wanted its end: an operator, a job that would not be cancelled, a drain that took too long."""


BY_FORCE = frozenset({Why.STALL, Why.ENDED})


@dataclass(frozen=True, slots=True)
class Cause:
    """A kind of death, and the words for people."""

    why: Why
    text: str

    @property
    def wanted(self) -> bool:
        """Whether it was asked for, and thus says nothing about the model."""
        return self.why is Why.ENDED

    def error(self, model: str) -> InfsupError:
        """Return what jobs fail with that cannot be retried."""
        match self.why:
            case Why.MEMORY:
                return OutOfMemory(f"the worker of {model!r} died: {self.text}", retry_after=OOM_RETRY_SECONDS)
            case Why.STALL:
                return WorkerStalled(f"the worker of {model!r} was ended: {self.text}")
            case _:
                return WorkerCrashed(f"the worker of {model!r} died: {self.text}")
