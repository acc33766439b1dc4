"""What instances share beside cores: memory and GPU slots, and the ledger of who has what. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Gpu(Enum):
    """Whether an instance needs a GPU slot."""

    NO = "no"
    AUTO = "auto"
    """It takes a free slot and runs on the processor without one."""
    MUST = "must"


@dataclass(frozen=True, slots=True)
class Needs:
    """What one instance takes; `memory` in bytes."""

    memory: int = 0
    gpu: Gpu = Gpu.NO


@dataclass(frozen=True, slots=True)
class Share:
    """An amount of what is shared: bytes, and GPU slots."""

    memory: int = 0
    gpu: int = 0

    def __add__(self, other: "Share") -> "Share":
        """Add component by component."""
        return Share(self.memory + other.memory, self.gpu + other.gpu)

    def __sub__(self, other: "Share") -> "Share":
        """Subtract component by component."""
        return Share(self.memory - other.memory, self.gpu - other.gpu)

    def overlaps(self, other: "Share") -> bool:
        """Whether both are of the same thing."""
        return (self.memory > 0 and other.memory > 0) or (self.gpu > 0 and other.gpu > 0)

    def covers(self, other: "Share") -> bool:
        """Whether there is enough of what the other asks for; what it does not ask for does not matter."""
        return (not other.memory or other.memory <= self.memory) and (not other.gpu or other.gpu <= self.gpu)


NOTHING = Needs()
UNLIMITED = Share(memory=2**63)
"""Memory without a bound, and no GPU."""


def least(needs: Needs) -> Share:
    """Return the least that an instance can run with: an automatic GPU slot is not part of it."""
    return Share(needs.memory, int(needs.gpu is Gpu.MUST))


class Room:
    """The one owner of memory and GPU slots: each instance's share from its spawn until it is reaped."""

    def __init__(self, total: Share) -> None:
        """`total` is what there is to share."""
        self.total = total
        self.free = total
        self.coming = Share()
        """What is not free yet, but will be without anything being ended for it."""
        self.pinned = Share()
        """What `min_instances` of all models take, whether they run or not."""
        self._held: dict[str, Share] = {}
        self._leaving: set[str] = set()

    def resize(self, total: Share) -> None:
        """Change what there is; with less than is held, `free` is negative until enough was given back."""
        self.free = self.free + (total - self.total)
        self.total = total

    def take(self, instance: str, share: Share) -> None:
        """Give an instance its share."""
        self._held[instance] = share
        self.free = self.free - share

    def expect(self, instance: str) -> None:
        """An instance is to leave: what it holds is coming. Harmless when that is known."""
        if instance not in self._leaving and instance in self._held:
            self._leaving.add(instance)
            self.coming = self.coming + self._held[instance]

    def coming_without(self, instances: Iterable[str]) -> Share:
        """Return what is coming if these instances do not end."""
        coming = self.coming
        for instance in instances:
            if instance in self._leaving:
                coming = coming - self._held[instance]
        return coming

    def keep(self, instance: str) -> None:
        """An instance is not to leave after all."""
        if instance in self._leaving:
            self._leaving.remove(instance)
            self.coming = self.coming - self._held[instance]

    def give_back(self, instance: str) -> None:
        """End an instance's share; harmless when it has none."""
        self.keep(instance)
        share = self._held.pop(instance, None)
        if share is not None:
            self.free = self.free + share
