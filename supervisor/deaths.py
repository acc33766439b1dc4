"""Post-mortems: what is known of a worker that died. The last ones are kept."""

import signal
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from .instance import Instance

KEPT = 20
LOG_LINES = 50
_STACK_START = ("Fatal Python error", "Current thread", "Thread 0x")


@dataclass(frozen=True, slots=True)
class Death:
    """One death. `at` is wall-clock seconds, `jobs` are ids, `memory` is RssAnon + swap in bytes, oldest first."""

    instance: str
    model: str
    pid: int
    cause: str
    exit_code: int | None
    signal: str | None
    at: float
    phase: str
    jobs: tuple[str, ...]
    log_tail: tuple[str, ...]
    stacks: tuple[str, ...]
    memory: tuple[int, ...]

    def to_wire(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def post_mortem(instance: Instance, cause: str, jobs: tuple[str, ...], at: float) -> Death:
    """Return what is known of an instance whose process has ended; `at` is wall-clock seconds."""
    _, code, signal_name = describe_exit(instance.process.returncode)
    lines = instance.process.ring.tail()
    return Death(
        instance=instance.id,
        model=instance.model,
        pid=instance.process.pid,
        cause=cause,
        exit_code=code,
        signal=signal_name,
        at=at,
        phase=instance.phase,
        jobs=jobs,
        log_tail=tuple(lines[-LOG_LINES:]),
        stacks=find_stacks(lines),
        memory=tuple(instance.memory),
    )


class Deaths:
    """The last post-mortems, newest last."""

    def __init__(self) -> None:
        """Start empty."""
        self._deaths: deque[Death] = deque(maxlen=KEPT)

    def add(self, death: Death) -> None:
        """Keep one."""
        self._deaths.append(death)

    def __iter__(self) -> Iterator[Death]:
        """Iterate, oldest first."""
        return iter(tuple(self._deaths))

    def to_wire(self) -> list[dict[str, Any]]:
        """Return them as plain values, newest first."""
        return [death.to_wire() for death in reversed(self._deaths)]


def describe_exit(returncode: int | None) -> tuple[str, int | None, str | None]:
    """Return words for an exit status, the exit code and the signal's name (`Popen` convention: −N = signal N)."""
    if returncode is None:
        return "still running", None, None
    if returncode >= 0:
        return f"exit status {returncode}", returncode, None
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    return name, None, name


def find_stacks(lines: Iterable[str]) -> tuple[str, ...]:
    """Return the part of a log from the first stack dump on (faulthandler's format)."""
    found: list[str] = []
    for line in lines:
        if found or line.startswith(_STACK_START):
            found.append(line)
    return tuple(found)
