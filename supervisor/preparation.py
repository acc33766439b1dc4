"""Getting a model's files ready before its first instance: the state of each model, and who does it when.

What "ready" takes is a `Preparer`'s business. Here is the one for files that are on this machine already; one that
downloads has the same shape. The scheduler starts no instance of a model that is not prepared.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from infsup.protocol.errors import InfsupError, ModelUnavailable

from .config import ModelConfig

log = logging.getLogger("infsup.preparation")

FIRST_RETRY, LAST_RETRY = 1.0, 300.0
"""Seconds between attempts after a failure, doubled each time."""


class Stage(Enum):
    """Where a model is on its way to be loadable."""

    UNPREPARED = "unprepared"
    PREPARING = "preparing"
    PREPARED = "prepared"
    FAILED = "failed"


class Preparer(Protocol):
    """Makes a model's files ready. Raises `InfsupError` with a message for people; it may be called again later."""

    def __call__(self, name: str, model: ModelConfig) -> Awaitable[None]:
        """Return when everything that the model needs is there."""
        ...


@dataclass(slots=True)
class _Progress:
    model: ModelConfig
    stage: Stage = Stage.UNPREPARED
    failures: int = 0
    retry_at: float = 0.0
    error: InfsupError | None = None
    task: asyncio.Task[None] | None = None


class Preparation:
    """Owns the stage of every model and the tasks that prepare them. Use in the loop; `close` ends the tasks."""

    def __init__(
        self,
        preparer: Preparer,
        concurrency: int,
        on_prepared: Callable[[str], None],
        on_failed: Callable[[str, InfsupError], None],
    ) -> None:
        """At most `concurrency` models are prepared at once."""
        self._preparer = preparer
        self._places = asyncio.Semaphore(max(1, concurrency))
        self._on_prepared = on_prepared
        self._on_failed = on_failed
        self._loop = asyncio.get_running_loop()
        self._models: dict[str, _Progress] = {}
        self._missing: set[str] = set()
        self._changed = asyncio.Event()

    def set_model(self, name: str, model: ModelConfig) -> None:
        """Add a model, or a new definition of one: it has to be prepared (again)."""
        self.remove_model(name)
        self._models[name] = _Progress(model)
        self._missing.add(name)
        if model.prepare != "on-demand" or model.min_instances:
            self.want(name)

    def remove_model(self, name: str) -> None:
        """Forget a model; what is under way ends."""
        progress = self._models.pop(name, None)
        self._missing.discard(name)
        if progress is not None and progress.task is not None:
            progress.task.cancel()

    def want(self, name: str) -> None:
        """Somebody asks for the model: begin, unless that was done or a failure is too recent. Costs one lookup."""
        if name not in self._missing:
            return
        progress = self._models[name]
        if progress.stage is Stage.PREPARING or self._loop.time() < progress.retry_at:
            return
        progress.stage = Stage.PREPARING
        progress.task = self._loop.create_task(self._prepare(name, progress))

    def stage(self, name: str) -> Stage:
        """Return where a model is."""
        return self._models[name].stage

    def refusal(self, name: str) -> InfsupError | None:
        """Return the error for new jobs while a failure is recent, else None."""
        if name not in self._missing:
            return None
        progress = self._models[name]
        wait = progress.retry_at - self._loop.time()
        if progress.error is None or progress.stage is not Stage.FAILED or wait <= 0:
            return None
        return ModelUnavailable(progress.error.message, retry_after=max(1.0, wait))

    def forgive(self, name: str) -> None:
        """Let the next job try again at once."""
        self._models[name].failures, self._models[name].retry_at = 0, 0.0

    def unready(self) -> list[str]:
        """Return the models that are to be prepared before the server counts as ready, and are not."""
        return [name for name in sorted(self._missing) if self._models[name].model.prepare == "blocking"]

    async def wait_until_ready(self) -> None:
        """Wait until every model with `prepare = "blocking"` is prepared."""
        while self.unready():
            self._changed.clear()
            await self._changed.wait()

    def close(self) -> None:
        """End what is under way. For every way out."""
        for name in list(self._models):
            self.remove_model(name)

    async def _prepare(self, name: str, progress: _Progress) -> None:
        try:
            async with self._places:
                await self._preparer(name, progress.model)
        except InfsupError as error:
            self._fail(name, progress, error)
        except Exception as error:
            log.exception("%s: preparing failed unexpectedly", name)
            self._fail(name, progress, ModelUnavailable(f"model {name!r} could not be prepared: {error!r}"))
        else:
            progress.stage, progress.failures, progress.error = Stage.PREPARED, 0, None
            self._missing.discard(name)
            self._on_prepared(name)
            self._changed.set()

    def _fail(self, name: str, progress: _Progress, error: InfsupError) -> None:
        progress.stage, progress.error = Stage.FAILED, error
        progress.failures += 1
        wait = min(LAST_RETRY, FIRST_RETRY * 2.0 ** min(progress.failures - 1, 16))
        progress.retry_at = self._loop.time() + wait
        log.error("%s: not prepared: %s; again in %g s at the earliest", name, error.message, wait)
        self._on_failed(name, error)
        if progress.model.prepare != "on-demand" or progress.model.min_instances:
            progress.task = self._loop.create_task(self._again(name, progress, wait))

    async def _again(self, name: str, progress: _Progress, wait: float) -> None:
        await asyncio.sleep(wait)
        if progress.stage is Stage.FAILED:
            progress.stage = Stage.PREPARING
            await self._prepare(name, progress)


def prepare_local(name: str, model: ModelConfig) -> Coroutine[Any, Any, None]:
    """Check that the files which the configuration names are there. Raises `ModelUnavailable`."""
    places = [(f"models.{name}.file", model.file)]
    places += [(f"models.{name}.files.{part}.file", ref.file) for part, ref in model.files.items()]
    return asyncio.to_thread(_check_files, name, [(key, place) for key, place in places if place is not None])


def _check_files(name: str, places: list[tuple[str, Path]]) -> None:
    for key, place in places:
        try:
            # Directories are listed, files opened: either needs the right to read.
            (os.listdir(place) if place.is_dir() else place.open("rb").close())  # noqa: PTH208 - one call, no iterator
        except OSError as error:
            raise ModelUnavailable(f"model {name!r} cannot be loaded: {key}: {place}: {error.strerror}") from error
