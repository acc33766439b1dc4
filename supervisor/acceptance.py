"""Which jobs are taken: the checks between a client's SUBMIT and the queue."""

from collections.abc import Mapping
from dataclasses import replace

from infsup.protocol.errors import (
    InfsupError,
    InvalidRequest,
    ModelLoading,
    ModelNotFound,
    ShuttingDown,
    UnsupportedTask,
)
from infsup.protocol.job import MAX_DEPTH, JobHeader

from .blame import Blame
from .config import ModelConfig
from .decisions import NeverFits, QueueIsFull
from .jobs import JobRecord, JobTable
from .preparation import Preparation
from .refusals import never_fits, poisoned, queue_full
from .restarts import Restarts
from .scheduler import Scheduler
from .service_times import ServiceTimes

SERVES: Mapping[str, frozenset[str]] = {"text-completion": frozenset({"text-completion", "chat-completion"})}
"""Tasks that a model serves beside its own; whether a chat template is there only its worker knows."""


class Acceptance:
    """Knows the models and their names, and why a job may not be taken. Changes nothing."""

    def __init__(
        self,
        *,
        jobs: JobTable,
        scheduler: Scheduler,
        restarts: Restarts,
        preparation: Preparation,
        blame: Blame,
        service: ServiceTimes,
    ) -> None:
        """Start without models; the others are the dispatcher's, to look at."""
        self.models: Mapping[str, ModelConfig] = {}
        self.stopping = False
        """Whether only children of running jobs are taken."""
        self._names: Mapping[str, str] = {}
        self._jobs = jobs
        self._scheduler = scheduler
        self._restarts = restarts
        self._preparation = preparation
        self._blame = blame
        self._service = service

    def set_models(self, models: Mapping[str, ModelConfig]) -> None:
        """Take over the definitions that new jobs are checked against."""
        self.models = models
        self._names = {alias: name for name, model in models.items() for alias in (name, *model.aliases)}

    def resolve(self, name: str) -> str:
        """Return the model that a name or alias means. Raises `ModelNotFound`."""
        model = self._names.get(name)
        if model is None:
            known = ", ".join(sorted(self.models)) or "none"
            raise ModelNotFound(f"model {name[:100]!r} is not configured; there are: {known}", param="model")
        return model

    def accept(self, peer: bytes, header: JobHeader, params: bytes, now: float) -> JobRecord:
        """Return the record of a job, its limits worked out. Raises `InfsupError`.

        With `ModelLoading` the model is to be loaded.
        """
        header.check()
        if self.stopping and header.parent is None:
            raise ShuttingDown("the server is stopping", retry_after=5)
        if self._jobs.get(header.id) is not None:
            raise InvalidRequest(f"a job with the id {header.id!r} exists already", param="id")
        parent = None if header.parent is None else self._find_parent(header.parent)
        name = self.resolve(header.model)
        model = self.models[name]
        tasks = SERVES.get(model.task, frozenset({model.task}))
        if header.task not in tasks:
            raise UnsupportedTask(
                f"model {name!r} serves {' and '.join(sorted(tasks))}, not {header.task!r}", param="model"
            )
        if self._blame.is_poison(name, params, now):
            raise poisoned(name)
        self._check_available(name, wait=header.wait)
        timeout = (header.timeout if header.timeout is not None else model.timeout) or None
        client = header.client or peer.hex()
        if parent is not None:
            timeout, client = parent.limit(timeout, now), parent.header.client
        header = replace(header, model=name, timeout=timeout, client=client)
        return JobRecord(header, params, peer, name, now, model.retries, parent=parent)

    def refusal(self, model: str, refusal: QueueIsFull | NeverFits) -> InfsupError:
        """Return the error for a job that the scheduler did not take."""
        if isinstance(refusal, NeverFits):
            return never_fits(model, refusal)
        config = self.models[model]
        wait = self._service.until_room(model, refusal.waiting, config.max_instances * config.parallel)
        return queue_full(model, refusal.waiting, wait)

    def _find_parent(self, token: str) -> JobRecord:
        parent = self._jobs.with_token(token)
        if parent is None:
            raise InvalidRequest("parent: no job with this token is running", param="parent")
        if parent.depth >= MAX_DEPTH:
            raise InvalidRequest(f"parent: jobs may be nested {MAX_DEPTH} levels deep, not more", param="parent")
        return parent

    def _check_available(self, model: str, *, wait: bool) -> None:
        if self._scheduler.has_ready_instance(model):
            return
        if self.stopping:  # a child of a running job, and nothing is started any more
            raise ShuttingDown("the server is stopping", retry_after=5)
        refusal = self._restarts.refusal(model) or self._preparation.refusal(model)
        if refusal is not None:
            raise refusal
        if not wait:
            raise ModelLoading(f"model {model!r} is being loaded", retry_after=1)
