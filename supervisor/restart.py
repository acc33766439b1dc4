"""When a model's worker may be started again: exponential backoff and a circuit. Pure: clock and randomness come in.

The circuit counts deaths in start and load, and deaths without a job. `max_restarts` of them within
`restart_window` seconds open it: jobs fail at once, and one probe per backoff is let through until a load succeeds.
Backoff with full jitter as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), but never below half
the step, so that tests and humans see it grow.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from infsup.protocol.errors import InfsupError

FIRST_BACKOFF, LAST_BACKOFF = 0.1, 30.0


@dataclass(frozen=True, slots=True)
class Outage:
    """Why a model is unavailable and since when (wall-clock seconds); `retry_at` is on the scheduler's clock.

    `error` is the load's own error when a retry cannot help.
    """

    reason: str
    since: float
    retry_at: float
    error: InfsupError | None = None


class RestartPolicy:
    """The restart state of one model."""

    def __init__(self, max_restarts: int, window: float, random: Callable[[], float]) -> None:
        """`max_restarts` −1 = the circuit never opens; `random` returns numbers in [0, 1)."""
        self._max_restarts = max_restarts
        self._window = window
        self._random = random
        self._failures: deque[float] = deque()
        self._streak = 0
        self._not_before = 0.0
        self.outage: Outage | None = None

    def set_limits(self, max_restarts: int, window: float) -> None:
        """Take over changed limits; what was noted stays."""
        self._max_restarts = max_restarts
        self._window = window

    def may_spawn(self, now: float) -> bool:
        """Say whether a worker may be started now; with the circuit open that worker is the probe."""
        return now >= self._not_before

    @property
    def not_before(self) -> float:
        """The moment from which `may_spawn` holds."""
        return self._not_before

    def on_served(self) -> None:
        """A worker has served a job: the next death is restarted at once."""
        self._streak = 0

    def on_loaded(self) -> None:
        """A load succeeded: close the circuit. The streak stays, so that loading and dying in a loop backs off."""
        self.outage = None

    def on_death(self, now: float, wall: float, reason: str, *, served: bool, counts: bool) -> None:
        """Note a death.

        `served`: the worker had done a job, so it is restarted at once. `counts`: it died in start or load, or without
        a job, which is what opens the circuit; a death under a job is the job's.
        """
        if counts:
            self._failures.append(now)
        while self._failures and self._failures[0] < now - self._window:
            self._failures.popleft()
        if math.isinf(self._not_before):
            return
        if served or not counts:
            self._not_before = now
        else:
            self._streak += 1
            step = min(LAST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(self._streak - 1, 16))
            self._not_before = now + step * (0.5 + 0.5 * self._random())
        too_many = 0 <= self._max_restarts < len(self._failures)
        if counts and (too_many or self.outage is not None):
            self.open(reason, wall)

    def open(self, reason: str, wall: float) -> None:
        """Open the circuit (again): the model is unavailable for `reason`."""
        since = self.outage.since if self.outage is not None else wall
        self.outage = Outage(reason, since, self._not_before)

    def give_up(self, error: InfsupError, wall: float) -> None:
        """Open the circuit for good: a retry cannot help before `reset`."""
        self._not_before = math.inf
        self.outage = Outage(error.message, wall, math.inf, error)

    def reset(self) -> None:
        """Forget everything, as `infsup reset` asks."""
        self._failures.clear()
        self._streak = 0
        self._not_before = 0.0
        self.outage = None
