"""Restart policies and outages of all models: what a death means for the next start."""

import random
import time
from collections.abc import Callable

from infsup.protocol.errors import EngineMissing, InfsupError, ModelUnavailable

from .causes import Cause
from .config import ModelConfig
from .instance import Instance
from .lifecycle import State
from .restart import Outage, RestartPolicy


class Restarts:
    """Owns one `RestartPolicy` per model. `clock` is the scheduler's, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start without models."""
        self._clock = clock
        self._policies: dict[str, RestartPolicy] = {}

    def set_model(self, name: str, model: ModelConfig, *, anew: bool) -> None:
        """Add a model or take over its new limits; `anew` forgets what was noted of an earlier definition."""
        policy = self._policies.get(name)
        if policy is None or anew:
            self._policies[name] = RestartPolicy(model.max_restarts, model.restart_window, random.random)
        else:
            policy.set_limits(model.max_restarts, model.restart_window)

    def remove_model(self, name: str) -> None:
        """Forget a model; deaths of its last instances are nobody's any more."""
        self._policies.pop(name, None)

    def not_before(self, model: str) -> float:
        """Return the moment from which the model may be started."""
        policy = self._policies.get(model)
        return policy.not_before if policy else 0.0

    def is_out(self, model: str) -> bool:
        """Whether the model's circuit is open."""
        return self._outage(model) is not None

    def refusal(self, model: str) -> InfsupError | None:
        """Return the error for jobs while the circuit is open and no probe is due, else None."""
        outage = self._outage(model)
        if outage is None or self._clock() >= outage.retry_at:
            return None
        return outage_error(model, outage, self._clock())

    def outage_error(self, model: str) -> InfsupError | None:
        """Return the error for jobs that wait while the circuit is open, None while it is closed."""
        outage = self._outage(model)
        return None if outage is None else outage_error(model, outage, self._clock())

    def on_served(self, model: str) -> None:
        """A worker has served a job."""
        if model in self._policies:
            self._policies[model].on_served()

    def on_loaded(self, model: str) -> None:
        """A load succeeded."""
        if model in self._policies:
            self._policies[model].on_loaded()

    def on_load_failed(self, model: str, error: InfsupError) -> InfsupError | None:
        """Return the error for all jobs if trying again cannot help, None if a later load may succeed.

        The package or the configuration has to change first. Whoever asks is not to blame for that, so no client gets
        a 400.
        """
        if not isinstance(error, EngineMissing) and error.status != 400:
            return None
        if not isinstance(error, EngineMissing):
            error = ModelUnavailable(f"model {model!r} cannot be loaded: {error.message}")
        if model in self._policies:
            self._policies[model].give_up(error, time.time())
        return error

    def on_death(self, instance: Instance, before: State, cause: Cause, *, blames_model: Callable[[], bool]) -> None:
        """Note the death of an instance that was in state `before`.

        `blames_model` is asked for a death under jobs: whether it speaks against the model, or only against a job.
        """
        policy = self._policies.get(instance.model)
        if cause.wanted:
            counts = False
        elif instance.jobs:
            counts = blames_model()
        else:
            counts = True
        # A worker that got as far as a job did start: nothing is gained by waiting, and blame is the jobs' own.
        served = instance.served > 0 or bool(instance.jobs)
        if policy is not None and before is not State.DRAINING:
            policy.on_death(self._clock(), time.time(), cause.text, served=served, counts=counts)

    def reset(self, model: str) -> None:
        """Forget a model's deaths and close its circuit."""
        self._policies[model].reset()

    def _outage(self, model: str) -> Outage | None:
        policy = self._policies.get(model)
        return policy.outage if policy else None


def outage_error(model: str, outage: Outage, now: float) -> InfsupError:
    """Return the error for a model whose circuit is open: why, and since when."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(outage.since))
    message = f"model {model!r} is unavailable since {since}: {outage.reason}"
    if outage.error is not None:
        return type(outage.error)(f"{message}; after the cause is removed: infsup reset {model}")
    return ModelUnavailable(message, retry_after=max(1.0, outage.retry_at - now))
