"""The worker as an operating-system process: what it is told at birth, and what ties it to the supervisor.

Standard library only: this runs before anything that takes long to import, so that a worker cannot outlive a
supervisor that dies meanwhile.
"""

import contextlib
import faulthandler
import io
import os
import resource
import signal
import sys
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import NoReturn

ENDPOINT, TOKEN = "INFSUP_WORKER_ENDPOINT", "INFSUP_WORKER_TOKEN"
PARENT_PID, RUN_ID = "INFSUP_PARENT_PID", "INFSUP_RUN_ID"
NO_HELLO, IGNORE_SIGTERM = "INFSUP_FAULT_NO_HELLO", "INFSUP_FAULT_IGNORE_SIGTERM"

EXIT_USAGE = 64
"""EX_USAGE of sysexits.h: started by hand, or with variables that make no sense."""
EXIT_FATAL = 70
"""EX_SOFTWARE: the engine is beyond repair."""

_MAX_TOKEN_BYTES = 255


class LaunchError(Exception):
    """The environment does not hold what a supervisor passes on; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What the supervisor passes on in the environment. `token` is this process's identity on the socket."""

    endpoint: str
    token: bytes
    parent_pid: int
    run_id: str


def read_launch(env: MutableMapping[str, str]) -> Launch:
    """Read the environment and take the token out of it: children of this process are not to speak for it.

    Raises `LaunchError`.
    """
    token = env.pop(TOKEN, "")
    missing = [name for name in (ENDPOINT, PARENT_PID, RUN_ID) if not env.get(name)]
    if missing or not token:
        names = ", ".join(missing + ([] if token else [TOKEN]))
        raise LaunchError(f"this program is started by infsup; missing in the environment: {names}")
    try:
        identity, parent_pid = bytes.fromhex(token), int(env[PARENT_PID])
    except ValueError as error:
        raise LaunchError(f"this program is started by infsup; {TOKEN} or {PARENT_PID}: {error}") from error
    if not 1 <= len(identity) <= _MAX_TOKEN_BYTES:
        raise LaunchError(f"{TOKEN}: found {len(identity)} bytes, allowed are 1 to {_MAX_TOKEN_BYTES}")
    return Launch(env[ENDPOINT], identity, parent_pid, env[RUN_ID])


def set_up() -> None:
    """Set limits, signals and streams: no core dumps, stacks on SIGUSR1 and on fatal signals, whole lines of output."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")  # else a failed assertion of llama.cpp starts gdb
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True, chain=False)
    # A terminal's Ctrl-C is the supervisor's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def watch_sigterm(wake_fd: int) -> None:
    """Have SIGTERM written to `wake_fd` as a byte, at once, even while the main thread is inside a C call."""
    signal.set_wakeup_fd(wake_fd, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)


def ignore_sigterm() -> None:
    """Ignore SIGTERM from now on (a fault that tests order)."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def wait_forever() -> NoReturn:
    """Do nothing until a signal ends the process."""
    while True:
        signal.pause()


def leave_now(status: int) -> NoReturn:
    """End the process from any thread, without the interpreter's clean-up, which a stuck thread could block."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)
