"""Child processes: exec'd in a session of their own, watched through a pidfd, their output kept in a ring.

Must be used from the supervisor's loop thread only: the children ask for a signal when the *thread* that started them
ends (PR_SET_PDEATHSIG, prctl(2)).
"""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

log = logging.getLogger("infsup.process")

RING_LINES = 500
MAX_LINE_BYTES = 4096
_READ_BYTES = 65536


class LogRing:
    """The last lines that a process wrote. Lines are cut at `MAX_LINE_BYTES`; invalid UTF-8 is replaced."""

    def __init__(self, on_line: Callable[[str], None] | None = None) -> None:
        """`on_line` gets every whole line."""
        self._lines: deque[str] = deque(maxlen=RING_LINES)
        self._rest = b""
        self._on_line = on_line

    def feed(self, data: bytes) -> None:
        """Take output as it comes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._add(line)

    def finish(self) -> None:
        """Take the last line, which may lack its end."""
        if self._rest:
            self._add(self._rest)
            self._rest = b""

    def tail(self, count: int = RING_LINES) -> list[str]:
        """Return the last `count` lines."""
        return list(self._lines)[-count:]

    def _add(self, line: bytes) -> None:
        text = line[:MAX_LINE_BYTES].decode("utf-8", "replace").rstrip("\r")
        self._lines.append(text)
        if self._on_line is not None:
            self._on_line(text)


class ChildProcess:
    """One child with the verbs of `Popen`. `on_exit` is called once, in the loop, after it has been reaped."""

    def __init__(self, name: str, on_exit: Callable[["ChildProcess"], None], ring: LogRing) -> None:
        """Nothing is started before `start`."""
        self.name = name
        self.ring = ring
        self._on_exit = on_exit
        self._popen: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._output = -1
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(
        self,
        module: str,
        env: Mapping[str, str],
        *,
        python: str = "",
        stdin: bytes | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start `python -m module`. `stdin` is written and closed (at most 64 KiB: a pipe's buffer).

        Raises `OSError` when the interpreter cannot be executed.
        """
        self._loop = asyncio.get_running_loop()
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        try:
            self._popen = subprocess.Popen(
                [python or sys.executable, "-m", module],
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=write_end,
                stderr=write_end,
                env=dict(env),
                pass_fds=tuple(pass_fds),
                start_new_session=True,
                close_fds=True,
            )
        except OSError:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        self._feed_stdin(stdin)
        os.set_blocking(read_end, False)
        self._output = read_end
        self._loop.add_reader(read_end, self._read_output)
        self._watch(self._loop, self._popen)

    @property
    def pid(self) -> int:
        """The process id, 0 before the start."""
        return self._popen.pid if self._popen else 0

    @property
    def returncode(self) -> int | None:
        """Exit status; negative: the number of the signal; None while it runs."""
        return self._popen.returncode if self._popen else None

    @property
    def running(self) -> bool:
        """Whether it was started and has not been reaped."""
        return self._popen is not None and self._popen.returncode is None

    def signal(self, number: int) -> None:
        """Send a signal to the process itself; harmless when it is gone."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL for the whole process group: what the process started must not outlive it."""
        if self._popen is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def be_nice(self, niceness: int, oom_score: int) -> None:
        """Lower the priority and raise the OOM score; what the system refuses is left as it is."""
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self.pid, niceness)
        with contextlib.suppress(OSError):
            Path(f"/proc/{self.pid}/oom_score_adj").write_text(str(oom_score), encoding="ascii")

    def pin(self, cores: Sequence[int]) -> None:
        """Bind the process to these cores; the threads it starts later inherit that."""
        if cores and hasattr(os, "sched_setaffinity"):
            with contextlib.suppress(OSError):
                os.sched_setaffinity(self.pid, cores)

    def close(self) -> None:
        """Kill what is left and give back descriptors, without calling `on_exit`. For the way out only."""
        if self._popen is None:
            return
        self.kill()
        if self._popen.returncode is None:
            self._popen.wait()
        self._release()

    def _feed_stdin(self, data: bytes | None) -> None:
        if self._popen is None or self._popen.stdin is None or data is None:
            return
        with contextlib.suppress(BrokenPipeError), self._popen.stdin as pipe:
            pipe.write(data)

    def _watch(self, loop: asyncio.AbstractEventLoop, popen: subprocess.Popen[bytes]) -> None:
        if hasattr(os, "pidfd_open"):
            self._pidfd = os.pidfd_open(popen.pid)
            loop.add_reader(self._pidfd, self._reap)
        else:  # not Linux: a thread that waits
            loop.run_in_executor(None, popen.wait).add_done_callback(lambda _code: self._reap())

    def _reap(self) -> None:
        if self._popen is None:
            return
        # The group may hold grandchildren. Before the process is reaped its id cannot belong to anybody else.
        self.kill()
        if self._popen.poll() is None:
            return
        self._read_output()
        self._release()
        self._on_exit(self)

    def _read_output(self) -> None:
        while self._output >= 0:
            try:
                data = os.read(self._output, _READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                self._close_output()
                return
            self.ring.feed(data)

    def _close_output(self) -> None:
        if self._output >= 0 and self._loop is not None:
            self._loop.remove_reader(self._output)
            os.close(self._output)
            self._output = -1
            self.ring.finish()

    def _release(self) -> None:
        self._close_output()
        if self._pidfd >= 0 and self._loop is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
