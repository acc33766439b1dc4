"""The machine as a configuration sees it: one look at cores, memory and GPUs, before anything starts."""

import sys
from dataclasses import dataclass
from pathlib import Path

from .cores import available_cores
from .host import cpu_quota, find_gpus, online_cores, total_memory


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is. `cores` are the ids that this process may use, `quota` is in cores, `memory` in bytes."""

    cores: tuple[int, ...]
    online: frozenset[int]
    """The ids of all cores; a worker can be bound to some that this process itself does not use."""
    quota: float | None
    memory: int
    gpus: int
    system: str = sys.platform


def read_machine(root: Path = Path("/")) -> Machine:
    """Look at the machine; `root` is the root of its file system. Takes milliseconds, and loads no library."""
    cores = tuple(available_cores())
    return Machine(cores, online_cores(root) or frozenset(cores), cpu_quota(root), total_memory(root), find_gpus(root))


def whole_cores(cores: int, quota: float | None) -> int:
    """Return how many threads can compute all the time, at least one: the cores, or the whole ones of a quota.

    Rounded down: the supervisor and the gateways live on the same quota, and a thread that is stopped for the rest of
    a period holds up all that wait for it at a barrier.
    """
    return cores if quota is None else max(1, min(cores, int(quota)))
