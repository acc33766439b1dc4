"""Whether a worker hangs: judged by progress, never by wall time. Pure."""

from dataclasses import dataclass

from .instance import Instance
from .lifecycle import State


@dataclass(frozen=True, slots=True)
class HealthLimits:
    """Seconds without progress (or, for `beat` and `start`, without a word) after which a worker counts as stuck."""

    start: float
    load: float
    prefill: float
    decode: float
    opaque: float
    beat: float

    def of_phase(self, phase: str) -> float:
        """Return the limit of a phase; 0 = none."""
        limits = {
            "idle": self.prefill,
            "load": self.load,
            "prefill": self.prefill,
            "decode": self.decode,
            "opaque": self.opaque,
        }
        return limits.get(phase, 0.0)


def find_stall(instance: Instance, limits: HealthLimits, now: float) -> str | None:
    """Return why the instance counts as stuck, None while it is well.

    A worker that waits for a child job, or has no job, makes no progress and needs none. One that has a job and calls
    itself idle never got it, or its answer was lost: that must not last for ever. While it loads, silence is judged by
    the load limit (importing a large library may hold the interpreter for long).
    """
    if instance.state is State.STARTING:
        return _over("no hello from the worker", now - instance.started_at, limits.start)
    silence = _over("no beat", now - instance.beat_at, limits.load if instance.state is State.LOADING else limits.beat)
    if silence is not None:
        return silence
    if instance.state is State.LOADING:
        return _over("no progress in load", now - instance.progress_at, limits.load)
    if instance.jobs:
        limit = limits.of_phase(instance.phase)
        return _over(f"no progress in {instance.phase}", now - instance.progress_at, limit)
    return None


def _over(what: str, elapsed: float, limit: float) -> str | None:
    if limit > 0 and elapsed > limit:
        return f"{what} for {elapsed:.1f} s (the limit is {limit:g} s)"
    return None
