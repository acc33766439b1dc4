"""What the machine, or the container that it is seen from, has to give: memory, processor time, GPUs.

Everything is read from files below `root`, which is the file system's root except in tests.
"""

import os
import platform
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .cgroups import controller_groups, numbers, read_text, unified_groups
from .config.units import parse_cores

_NVIDIA, _AMD = "0x10de", "0x1002"
_ROOT = Path("/")


def total_memory(root: Path = _ROOT, *, fallback: Callable[[], int] | None = None) -> int:
    """Return the bytes of memory that this process and its children may use together.

    The machine's memory, or less if a control group (its own or one above) has a limit. `fallback` tells the machine's
    memory where there is no /proc/meminfo; by default the operating system is asked.
    """
    machine = numbers(read_text(root / "proc/meminfo")).get("MemTotal", 0) * 1024
    return min([machine or (fallback or _system_memory)(), *_memory_limits(root)])


def cpu_quota(root: Path = _ROOT) -> float | None:
    """Return how many cores' worth of time the control groups allow, such as 1.5; None without a limit.

    A quota takes no core away: it stops all threads of the group for the rest of each period once it is used up. So
    it bounds how many threads make sense, and says nothing about which cores they run on.
    """
    return min(_quotas(root), default=None)


def online_cores(root: Path = _ROOT) -> frozenset[int]:
    """Return the ids of the machine's cores that are switched on; empty where the kernel does not tell."""
    text = read_text(root / "sys/devices/system/cpu/online").strip()
    try:
        return frozenset(parse_cores(text))
    except ValueError:
        return frozenset()


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """What one process holds, in bytes. `own` is RssAnon + VmSwap; `mapped` is RssFile, such as mapped weights."""

    own: int
    mapped: int


def process_memory(pid: int, root: Path = _ROOT) -> ProcessMemory | None:
    """Return the memory of a process, None if it is gone or a zombie."""
    status = numbers(read_text(root / f"proc/{pid}/status"))
    if "RssAnon" not in status:
        return None
    own = status["RssAnon"] + status.get("VmSwap", 0)
    return ProcessMemory(own * 1024, status.get("RssFile", 0) * 1024)


def find_gpus(
    root: Path = _ROOT, *, environ: Mapping[str, str] = os.environ, system: str = sys.platform, machine: str = ""
) -> int:
    """Return the number of GPUs worth a slot: NVIDIA and AMD ones, and Apple's; 0 if there is none. Loads no library.

    A GPU that a container was not given is not counted, nor one that `CUDA_VISIBLE_DEVICES` hides. Intel's, which are
    mostly parts of the processor, are not counted; a configuration can still say `gpu_slots = 1`.
    """
    if system == "darwin":
        return int((machine or platform.machine()) == "arm64")
    vendors = _render_vendors(root)
    nvidia = _nvidia_devices(root) or vendors.count(_NVIDIA)
    amd = vendors.count(_AMD) or int((root / "dev/kfd").exists())
    return min(nvidia, _visible(environ.get("CUDA_VISIBLE_DEVICES"))) + amd


def _system_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _memory_limits(root: Path) -> Iterator[int]:
    for group in unified_groups(root):
        yield from _positive(group, ("memory.max", "memory.high"))
    for group in controller_groups("memory", root):
        # "No limit" is a number near 2^63 here; it is larger than any machine's memory, so it needs no special care.
        yield from _positive(group, ("memory.limit_in_bytes",))


def _positive(group: Path, names: Iterable[str]) -> Iterator[int]:
    for name in names:
        limit = read_text(group / name).strip()
        if limit.isdecimal() and int(limit) > 0:
            yield int(limit)


def _quotas(root: Path) -> Iterator[float]:
    for group in unified_groups(root):
        quota, _, period = read_text(group / "cpu.max").strip().partition(" ")
        yield from _quota(quota, period)
    for group in controller_groups("cpu", root):
        quota = read_text(group / "cpu.cfs_quota_us").strip()
        yield from _quota(quota, read_text(group / "cpu.cfs_period_us").strip())


def _quota(quota: str, period: str) -> Iterator[float]:
    """Yield a quota in cores; nothing for "max", -1 and what is malformed."""
    if quota.isdecimal() and period.isdecimal() and int(quota) > 0 and int(period) > 0:
        yield int(quota) / int(period)


def _nvidia_devices(root: Path) -> int:
    nodes = [path for path in _entries(root / "dev") if re.fullmatch(r"nvidia[0-9]+", path.name)]
    if nodes:
        return len(nodes)
    # Without nodes: on the machine itself, the driver's first user makes them. A container sees the driver's list
    # too, but can use only the devices that it was given.
    return 0 if _in_container(root) else len(_entries(root / "proc/driver/nvidia/gpus"))


def _in_container(root: Path) -> bool:
    return any((root / name).exists() for name in (".dockerenv", "run/.containerenv"))


def _render_vendors(root: Path) -> list[str]:
    """Return the PCI vendors of the GPUs that have a render node in /dev."""
    names = [path.name for path in _entries(root / "dev/dri") if re.fullmatch(r"renderD[0-9]+", path.name)]
    return [read_text(root / "sys/class/drm" / name / "device/vendor").strip().lower() for name in names]


def _visible(devices: str | None) -> int:
    """Return how many GPUs `CUDA_VISIBLE_DEVICES` lets programs see: its entries up to the first -1."""
    if devices is None:
        return sys.maxsize
    names = [name.strip() for name in devices.split(",")]
    return next((index for index, name in enumerate(names) if name in {"", "-1"}), len(names))


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []
