"""How much memory this process has to itself."""

from pathlib import Path

_STATUS = Path("/proc/self/status")
_FIELDS = ("RssAnon:", "VmSwap:")


def private_bytes() -> int:
    """Return anonymous resident plus swapped memory in bytes; 0 where the system does not say (not Linux).

    Not RSS: that counts the pages of a memory-mapped model file, and misses a leak that was swapped out.
    """
    try:
        return parse_status(_STATUS.read_text(encoding="ascii", errors="replace"))
    except OSError:
        return 0


def parse_status(status: str) -> int:
    """Return RssAnon + VmSwap, in bytes, from the text of /proc/PID/status; what is missing or odd counts as 0."""
    total = 0
    for line in status.splitlines():
        name, *rest = line.split()[:2] or [""]
        if name in _FIELDS and rest and rest[0].isdigit():
            total += int(rest[0]) * 1024
    return total
