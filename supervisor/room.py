"""What instances share beside cores: memory and GPU slots. A ledger and the choice of who makes room. Pure."""

from collections import OrderedDict
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
        return (other.memory <= max(self.memory, 0) or not other.memory) and (
            other.gpu <= max(self.gpu, 0) or not other.gpu
        )


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
        self._held: dict[str, Share] = {}

    def held(self, instances: Iterable[str]) -> Share:
        """Return what these instances hold together."""
        shares = [self._held[instance] for instance in instances if instance in self._held]
        return Share(sum(share.memory for share in shares), sum(share.gpu for share in shares))

    def take(self, instance: str, share: Share) -> None:
        """Give an instance its share."""
        self._held[instance] = share
        self.free = self.free - share

    def give_back(self, instance: str) -> None:
        """End an instance's share; harmless when it has none."""
        share = self._held.pop(instance, None)
        if share is not None:
            self.free = self.free + share


@dataclass(frozen=True, slots=True)
class Tenant:
    """An instance that could be ended for room. `idle` and `load` in seconds."""

    instance: str
    idle: float
    load: float

    @property
    def worth(self) -> float:
        """Least first: what has been idle long and is quickly loaded again."""
        return -self.idle / max(self.load, 0.001)


class Contenders:
    """Models that wait for room, the longest waiting first, and what each lacks.

    What an earlier one lacks a later one cannot have, however well it would fit: so nobody is overtaken for ever.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._lacking: OrderedDict[str, Share] = OrderedDict()

    def __contains__(self, model: str) -> bool:
        """Whether the model waits for room."""
        return model in self._lacking

    def __bool__(self) -> bool:
        """Whether any model waits."""
        return bool(self._lacking)

    def add(self, model: str, lacking: Share) -> None:
        """A model waits, at the end of the line unless it waits already."""
        self._lacking[model] = lacking

    def remove(self, model: str) -> bool:
        """A model waits no more; true if it did."""
        return self._lacking.pop(model, None) is not None

    def is_ahead(self, model: str, share: Share) -> bool:
        """Whether somebody before `model` lacks something of what `share` would take."""
        for other, lacking in self._lacking.items():
            if other == model:
                return False
            if lacking.overlaps(share):
                return True
        return False

    def first_in_line(self) -> list[str]:
        """Return those that nobody is ahead of: at most one for each thing that can be lacking."""
        first: list[str] = []
        taken = Share()
        for model, lacking in self._lacking.items():
            if not lacking.overlaps(taken):
                first.append(model)
            taken = taken + lacking
            if taken.memory > 0 and taken.gpu > 0:
                break
        return first


def choose_leavers(room: Room, coming: Share, needed: Share, tenants: Iterable[Tenant]) -> list[str] | None:
    """Return which tenants have to leave so that `needed` fits; None when even all of them do not suffice.

    `coming` is what instances that leave already will give back. Least valuable first, and nobody for nothing: a
    tenant whose leaving turns out not to be necessary stays.
    """
    available = room.free + coming
    leavers: list[str] = []
    for tenant in sorted(tenants, key=lambda one: one.worth):
        if available.covers(needed):
            break
        if room.held([tenant.instance]).overlaps(needed - available):
            leavers.append(tenant.instance)
            available = available + room.held([tenant.instance])
    if not available.covers(needed):
        return None
    for instance in tuple(leavers):
        without = available - room.held([instance])
        if without.covers(needed):
            leavers.remove(instance)
            available = without
    return leavers
