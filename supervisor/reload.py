"""Takes a changed configuration over into the running parts: only what differs is touched."""

from infsup.protocol.errors import ModelNotFound

from .budget import Budget
from .config import Config
from .config_changes import Changes
from .decisions import Decision
from .dispatch import Dispatcher
from .pool import Pool
from .preparation import Preparation
from .restarts import Restarts
from .scheduler import Scheduler


class Reload:
    """Knows the parts that hold definitions of models."""

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        budget: Budget,
        restarts: Restarts,
        preparation: Preparation,
        pool: Pool,
        dispatcher: Dispatcher,
    ) -> None:
        """Keep them."""
        self._scheduler = scheduler
        self._budget = budget
        self._restarts = restarts
        self._preparation = preparation
        self._pool = pool
        self._dispatcher = dispatcher

    def apply(self, config: Config, changes: Changes, now: float) -> list[Decision]:
        """Take over a configuration; the decisions are to be carried out. The first one has everything added.

        Instances of models that are gone or to be loaded anew get no more jobs and end when those they have are done;
        jobs that wait for a changed model wait for its new instances, those of a removed one fail.
        """
        self._pool.set_models(config.models)
        self._dispatcher.set_models(config.models)
        decisions = self._scheduler.set_shared(
            config.pool.concurrency, now, total=self._budget.total, swap_patience=config.pool.swap_patience
        )
        for name in changes.removed:
            decisions += self._remove(name, now)
        for name in changes.changed:
            decisions += self._scheduler.retire(name, now, "reload")
        for name in (*changes.changed, *changes.added):
            self._add(config, name)
        for name in changes.adjusted:
            self._restarts.set_model(name, config.models[name], anew=False)
            self._scheduler.set_model(self._budget.limits(name))
            self._pool.adjust(name)
        for name in config.models:
            decisions += self._scheduler.maintain(name, now)
        return decisions

    def _add(self, config: Config, name: str) -> None:
        model = config.models[name]
        self._restarts.set_model(name, model, anew=True)
        self._scheduler.set_model(self._budget.limits(name))
        self._scheduler.hold(name, float("inf"))  # until it is prepared
        self._preparation.set_model(name, model)

    def _remove(self, name: str, now: float) -> list[Decision]:
        gone = ModelNotFound(f"model {name!r} is no longer configured: a reload has removed it", param="model")
        self._dispatcher.on_outage(name, gone)
        self._restarts.remove_model(name)
        self._preparation.remove_model(name)
        return self._scheduler.remove_model(name, now)
