"""CPU cores as leases: instances get disjoint sets while there are enough. Pure but for `available_cores`.

Sharing cores by accident is the worst that can happen to an engine: llama.cpp's threads spin at barriers, and two
workers on the same cores fell from 119 to 0.2 tokens per second.
"""

import os
from collections.abc import Sequence


def available_cores() -> list[int]:
    """Return the ids of the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def threads_for(cpu_threads: int, max_instances: int, cores: int) -> int:
    """Return how many threads an instance uses: what is configured, else its share of the cores, at least one."""
    return min(cpu_threads, cores) if cpu_threads > 0 else max(1, cores // max(1, max_instances))


class CoreLeases:
    """The one owner of the cores. A lease is a set of core ids; it may overlap others only when cores run out."""

    def __init__(self, cores: Sequence[int]) -> None:
        """`cores` are the ids to lease, at least one."""
        if not cores:
            raise ValueError("at least one core is needed")
        self._users: dict[int, int] = dict.fromkeys(cores, 0)
        self._leases: dict[str, tuple[int, ...]] = {}

    def take(self, owner: str, count: int) -> tuple[int, ...]:
        """Lease `count` cores, the least used first; never refuses."""
        if owner in self._leases:
            raise ValueError(f"{owner} has a lease already")
        chosen = sorted(self._users, key=lambda core: (self._users[core], core))[: max(1, count)]
        for core in chosen:
            self._users[core] += 1
        self._leases[owner] = tuple(sorted(chosen))
        return self._leases[owner]

    def give_back(self, owner: str) -> None:
        """End a lease; harmless when there is none."""
        for core in self._leases.pop(owner, ()):
            self._users[core] -= 1

    def of(self, owner: str) -> tuple[int, ...]:
        """Return an owner's cores, empty without a lease."""
        return self._leases.get(owner, ())
