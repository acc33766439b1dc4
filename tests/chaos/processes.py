"""What /proc says: which processes belong to the run, what state they are in, and what the supervisor holds."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TAG = "INFSUP_CHAOS_RUN"
"""In the environment of the supervisor, and so of all that comes from it, wherever it may end up."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process holds: descriptors, and memory of its own (RssAnon) in bytes."""

    descriptors: int
    rss_anon: int


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the process table; `state` is a letter as in proc(5)."""

    pid: int
    parent: int
    state: str
    tagged: bool


def footprint(pid: int) -> Footprint:
    """Measure a process. Raises `OSError` when it is gone."""
    directory = Path(f"/proc/{pid}")
    for line in (directory / "status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("RssAnon:"):
            return Footprint(sum(1 for _ in (directory / "fd").iterdir()), int(line.split()[1]) * 1024)
    raise ProcessLookupError(pid)


def parent_of(pid: int) -> int:
    """Return the pid of a process's parent, 0 when it is gone."""
    with contextlib.suppress(OSError):
        return _state_and_parent(Path(f"/proc/{pid}"))[1]
    return 0


def processes_of(tag: str, supervisor: int) -> list[Process]:
    """Return the processes that carry the tag, and the supervisor's children (a zombie has no environment)."""
    return [one for one in _all(f"{TAG}={tag}".encode()) if one.tagged or one.parent == supervisor]


def _all(needle: bytes) -> Iterator[Process]:
    for directory in Path("/proc").iterdir():
        if not directory.name.isdecimal():
            continue
        with contextlib.suppress(OSError):  # it ended while we looked, or it is not ours
            state, parent = _state_and_parent(directory)
            tagged = False
            with contextlib.suppress(PermissionError):
                tagged = needle in (directory / "environ").read_bytes().split(b"\0")
            yield Process(int(directory.name), parent, state, tagged)


def _state_and_parent(directory: Path) -> tuple[str, int]:
    # The name in parentheses may hold anything; after it come state and parent.
    state, parent = (directory / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
    return state, int(parent)
