"""What the worker is doing: a phase and a counter that only grows. The supervisor judges by them, not by time."""

import threading

from infsup.protocol.messages import PHASES, Beat

from .memory import private_bytes


class Progress:
    """Written by the engine (any thread), read by the link for its beats. This is the `Report` that engines get."""

    def __init__(self) -> None:
        """Begin in phase `starting`."""
        self._lock = threading.Lock()
        self._count = 0
        self._phase = "starting"
        self._waiting = 0
        self.context_used = 0
        """Tokens in the model's context now."""

    @property
    def current_phase(self) -> str:
        """The phase, one of `PHASES`."""
        return self._phase

    def progress(self, amount: int = 1) -> None:
        """Count progress; anything below 1 counts as nothing."""
        if amount > 0:
            with self._lock:
                self._count += int(amount)

    def phase(self, name: str) -> None:
        """Enter a phase. Raises `ValueError` for one that does not exist: the supervisor has no limit for it."""
        if name not in PHASES:
            raise ValueError(f"phase: found {name!r}, allowed are {', '.join(PHASES)}")
        self._phase = name

    def begin_wait(self) -> None:
        """One of the running jobs waits for a child job from now on."""
        with self._lock:
            self._waiting += 1

    def end_wait(self) -> None:
        """It goes on, which is progress."""
        with self._lock:
            self._waiting -= 1
            self._count += 1

    def beat(self, running: int = 1) -> Beat:
        """Return what a beat says now. While all of `running` jobs wait for children the phase is `waiting`."""
        phase = "waiting" if 0 < running <= self._waiting else self._phase
        return Beat(phase, self._count, private_bytes(), self.context_used)
