"""Was a process that died by SIGKILL ended by the kernel for want of memory?

The kernel tells nobody directly. It counts such kills per control group and for the whole machine, and it writes the
victim's number to its log, which few may read.
"""

import contextlib
import os
import re
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from .cgroups import controller_groups, numbers, read_text, unified_groups

MEMORY_SECONDS = 10.0
"""How long a counted kill may wait for the death that explains it."""
_NAMED = re.compile(rb"[Kk]illed process ([0-9]{1,10})\b")
_RECORD_BYTES = 8192  # /dev/kmsg gives one record a read, and fails if the buffer is too small
_RECORDS_AT_ONCE = 1000
_MAX_PENDING = 1000


class OomWatch:
    """Counts the kernel's kills and matches them with deaths. Owns a file descriptor: `close` it."""

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        """Take the first sample. `root` is the file system's root, `clock` tells seconds."""
        self._root = root
        self._clock = clock
        self._kills: deque[float] = deque(maxlen=_MAX_PENDING)
        self._named: dict[int, float] = {}
        self._log = _open_log(root / "dev/kmsg")
        self._counter = next((path for path in _counters(root) if _count(path) is not None), None)
        self._count = self._read(0)

    def sample(self) -> None:
        """Look for new kills. Call it about once a second, so that an old kill is not taken for the cause of a death.

        Reads one small file, and the kernel's log where that is allowed; blocks no longer than that.
        """
        now = self._clock()
        self._forget(now)
        count = self._read(self._count)
        self._kills.extend([now] * min(max(0, count - self._count), _MAX_PENDING))
        self._count = count
        for pid in self._read_log():
            self._named[pid] = now

    def was_oom(self, pid: int) -> bool:
        """Tell whether the kernel killed this process for want of memory.

        Ask once, right after its death by a SIGKILL that this program did not send. Each counted kill explains one
        death. The count is that of the own control group where it has one (all workers are in it), else that of the
        machine: then a kill elsewhere in the same seconds can be mistaken for this one.
        """
        self.sample()
        named = self._named.pop(pid, None) is not None
        counted = bool(self._kills)
        if counted:
            self._kills.popleft()
        return named or counted

    def close(self) -> None:
        """Give the descriptor back; harmless when done twice."""
        if self._log >= 0:
            os.close(self._log)
            self._log = -1

    def _forget(self, now: float) -> None:
        while self._kills and now - self._kills[0] > MEMORY_SECONDS:
            self._kills.popleft()
        self._named = {pid: at for pid, at in self._named.items() if now - at <= MEMORY_SECONDS}

    def _read(self, before: int) -> int:
        """Return the counter; what it was `before` if it cannot be read."""
        count = None if self._counter is None else _count(self._counter)
        return before if count is None else count

    def _read_log(self) -> list[int]:
        found: list[int] = []
        for _ in range(_RECORDS_AT_ONCE if self._log >= 0 else 0):
            try:
                record = os.read(self._log, _RECORD_BYTES)
            except BrokenPipeError:
                continue  # records were overwritten before they were read; the next read goes on after the gap
            except OSError:
                break  # nothing new
            if not record:
                break
            found += [int(pid) for pid in _NAMED.findall(record)]
        return found


def _counters(root: Path) -> list[Path]:
    """Return the files that may have the line `oom_kill NUMBER`, the most telling first."""
    return [
        *(group / "memory.events" for group in unified_groups(root)[:1]),
        *(group / "memory.oom_control" for group in controller_groups("memory", root)[:1]),
        root / "proc/vmstat",
    ]


def _count(path: Path) -> int | None:
    return numbers(read_text(path)).get("oom_kill")


def _open_log(path: Path) -> int:
    """Open the kernel's log at its end, -1 if that is not possible."""
    try:
        log = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return -1
    with contextlib.suppress(OSError):
        os.lseek(log, 0, os.SEEK_END)
    return log
