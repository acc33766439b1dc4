"""Claims the runtime directory: one server per directory, and nothing stale left in it."""

import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from infsup.protocol.runtime import RuntimeDirectoryError

LOCK_NAME, PID_NAME = "lock", "pid"
OWN_NAMES = frozenset({LOCK_NAME, PID_NAME, "jobs", "workers"})


def is_served(directory: Path) -> bool:
    """Say whether a living server holds the directory. A killed one leaves its files, but not its lock."""
    try:
        fd = os.open(directory / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


class RuntimeLock:
    """Holds the directory for the life of the server. Use as a context manager."""

    def __init__(self, directory: Path) -> None:
        """Nothing is touched before `acquire`."""
        self.directory = directory
        self._fd = -1

    def __enter__(self) -> Self:
        """Acquire."""
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release."""
        self.release()

    def acquire(self) -> None:
        """Make the directory (mode 0700), lock it and sweep what a killed server left.

        Raises `RuntimeDirectoryError` when another server holds it, it belongs to someone else or cannot be made.
        """
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            facts = self.directory.lstat()
            if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
                raise RuntimeDirectoryError(
                    f"{self.directory} is not a directory of this user; choose another with --runtime-dir"
                )
            self._make_private(facts.st_mode)
            self._fd = os.open(self.directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RuntimeDirectoryError(
                f"cannot use the runtime directory {self.directory}: {error.strerror}; "
                "choose another with --runtime-dir"
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = self._holder()
            self._close()
            raise RuntimeDirectoryError(
                f"a server for this configuration is running already (pid {holder}, {self.directory}); "
                "stop it with `infsup stop`, or start a second one with another --runtime-dir"
            ) from error
        try:
            self._sweep()
            (self.directory / PID_NAME).write_text(f"{os.getpid()}\n", encoding="ascii")
        except OSError as error:
            self._close()
            raise RuntimeDirectoryError(
                f"cannot use the runtime directory {self.directory}: {error.filename}: {error.strerror}; "
                "choose another with --runtime-dir"
            ) from error

    def release(self) -> None:
        """Remove what the server made and unlock. Harmless when not held."""
        if self._fd < 0:
            return
        self._sweep()
        self._close()

    def _holder(self) -> str:
        try:
            return (self.directory / PID_NAME).read_text(encoding="ascii").strip() or "unknown"
        except (OSError, UnicodeDecodeError):
            return "unknown"

    def _make_private(self, mode: int) -> None:
        if not mode & 0o077:
            return
        foreign = sorted(entry.name for entry in self.directory.iterdir() if entry.name not in OWN_NAMES)
        if foreign:
            raise RuntimeDirectoryError(
                f"{self.directory} is open to others and holds other files ({foreign[0]}, …): the server wants a "
                "directory of its own; choose another with --runtime-dir"
            )
        self.directory.chmod(0o700)

    def _sweep(self) -> None:
        """Remove what a server left: sockets and its pid file, nothing that only has their names."""
        for name in ("jobs", "workers"):
            path = self.directory / name
            if path.is_socket():
                path.unlink(missing_ok=True)
            elif path.exists():
                raise RuntimeDirectoryError(
                    f"{path} is in the way: the server wants a directory of its own; choose another with --runtime-dir"
                )
        (self.directory / PID_NAME).unlink(missing_ok=True)

    def _close(self) -> None:
        os.close(self._fd)
        self._fd = -1
