"""The interface of an engine: what a module under `engines/`, or a user's own class, has to provide.

A simple engine (`Engine`) writes a generator; the runner around it makes it cancellable, counts progress and runs one
job at a time. One that computes for many jobs at once (`BatchEngine`) takes jobs and makes steps. Heavy libraries are
imported inside `load`, so that only the worker that needs them pays for them.
"""

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from infsup.protocol.job import Job
from infsup.protocol.messages import JobEvent
from infsup.protocol.spec import ModelSpec


class EngineFatal(Exception):  # a verdict on the process, named so in the docs
    """The engine is beyond repair: the worker ends with exit status 70 (EX_SOFTWARE of sysexits.h)."""


class JobCancelled(Exception):  # not an error: the way out of a job that nobody wants any more
    """Raised inside a job by `JobContext.check` once the job was cancelled."""


class Report(Protocol):
    """How an engine says that it is alive: the supervisor ends workers that make no progress in a phase."""

    def progress(self, amount: int = 1) -> None:
        """Count progress: a token, a batch of prompt tokens, a diffusion step, a piece of a file."""
        ...

    def phase(self, name: str) -> None:
        """Enter a phase of `infsup.protocol.messages.PHASES`."""
        ...


class ChildClient(Protocol):
    """A job's way to other models. Both methods block, and raise `JobCancelled` once the job is cancelled."""

    def run(self, model: str, task: str, params: Mapping[str, Any], **options: Any) -> Mapping[str, Any]:
        """Run a job as a child of this one and return its result; `options` as for `protocol.Client.submit`.

        Raises `InfsupError`.
        """
        ...

    def stream(self, model: str, task: str, params: Mapping[str, Any], **options: Any) -> Iterator[JobEvent]:
        """Run a job as a child of this one and yield its events; leaving the loop early cancels it."""
        ...


class JobContext:
    """What a job may use while it runs. Made by the desk, one for each job; `cancel` is called from the link's thread.

    Children that are asked for through `client` go before the jobs of clients and end with this one.
    """

    def __init__(self, report: Report, deadline: float | None = None) -> None:
        """`deadline` is on the clock of `time.monotonic`."""
        self._report = report
        self._hooks: deque[Callable[[], None]] = deque()
        self.deadline = deadline
        self.cancelled = False
        self._client: ChildClient | None = None

    @property
    def client(self) -> ChildClient:
        """What to ask other models with. Raises `RuntimeError` outside a worker."""
        if self._client is None:
            raise RuntimeError("this job has no client: it does not run in a worker")
        return self._client

    @client.setter
    def client(self, client: ChildClient) -> None:
        self._client = client

    def check(self) -> None:
        """Raise `JobCancelled` when the job was cancelled or its deadline has passed. Cheap: call it at every token."""
        if self.cancelled or (self.deadline is not None and time.monotonic() >= self.deadline):
            raise JobCancelled

    def progress(self, amount: int = 1) -> None:
        """See `Report.progress`."""
        self._report.progress(amount)

    def phase(self, name: str) -> None:
        """See `Report.phase`."""
        self._report.phase(name)

    def on_cancel(self, hook: Callable[[], None]) -> None:
        """Register the engine's abort hook; it is called from another thread, once, and must not block."""
        self._hooks.append(hook)
        if self.cancelled:
            self._call_hooks()

    def cancel(self) -> None:
        """Mark the job as cancelled and call the hooks. Harmless when called twice."""
        if not self.cancelled:
            self.cancelled = True
            self._call_hooks()

    def _call_hooks(self) -> None:
        # Two threads may be here at once: taking a hook out is what makes it be called only once.
        while True:
            try:
                hook = self._hooks.popleft()
            except IndexError:
                return
            hook()


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What was loaded: facts for status pages. `context_size` in tokens, 0 if it has no meaning."""

    context_size: int = 0
    device: str = "cpu"
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer, sent on at once: for text `{"text": str, "tokens": int, "index": int}`.

    With `"finish_reason": str` it is the last one of its choice; the others may go on.
    """

    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """The last value of a job. For text: `{"choices": [{"index", "text", "finish_reason"}], "usage": {...}}`."""

    data: Mapping[str, Any]


class Engine(ABC):
    """One model in one process. Methods are called on the main thread, one at a time, `load` first, `close` last.

    Errors of `protocol.errors` raised in `load` or `run` reach the client as they are; `EngineFatal` ends the
    worker; any other exception fails the job as `engine_error`.
    """

    tasks: frozenset[str] = frozenset()
    capacity: int = 1
    concurrent: bool = False
    """Whether `run` may be called from several threads at once; without it `capacity` counts as 1."""
    context_used: int = 0
    """Tokens that the model's context holds now, for status pages; kept up to date by engines that know it."""

    @abstractmethod
    def load(self, model: ModelSpec, report: Report) -> ModelInfo:
        """Load the model. May set `self.tasks` and `self.capacity` to what this model allows."""

    @abstractmethod
    def run(self, job: Job, context: JobContext) -> Iterator[Piece | Result]:
        """Do one job: yield pieces, then one `Result`. Called with validated task, unvalidated parameters."""

    def close(self) -> None:  # noqa: B027 - most engines have nothing to give back
        """Give back what `load` took. The process ends afterwards."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a step of a `BatchEngine` says of one job. A result or an exception is the last of that job."""

    job_id: str
    what: Piece | Result | Exception


class BatchEngine(Engine):
    """An engine that computes for up to `capacity` jobs at once, all on the main thread.

    The runner hands it jobs between steps and makes steps as long as it has any. An exception in an event fails one
    job (`JobCancelled` ends it as cancelled); one that leaves `step` says that nothing can be told of any job: all of
    them fail and the worker ends.
    """

    @abstractmethod
    def submit(self, job: Job, context: JobContext) -> None:
        """Take a job; its id is that of no other here. What is raised fails this job, of which nothing is kept then."""

    @abstractmethod
    def step(self) -> list[Event]:
        """Do the next short piece of work for all jobs: at most one token for each that is being answered.

        Jobs whose context says that they are cancelled end here, with a `JobCancelled`. Called only while there are
        jobs; every call comes nearer to the end of one.
        """

    def run(self, job: Job, context: JobContext) -> Iterator[Piece | Result]:
        """Do one job alone; not while others are here."""
        self.submit(job, context)
        try:
            while True:
                for event in self.step():
                    if isinstance(event.what, Exception):
                        raise event.what
                    yield event.what
                    if isinstance(event.what, Result):
                        return
        except GeneratorExit:  # dropped in the middle
            context.cancel()
            while not any(isinstance(event.what, Result | Exception) for event in self.step()):
                pass
            raise


class RawLink(Protocol):
    """The worker's socket, for engines that test the supervisor. Callable from any thread."""

    def send(self, frames: list[bytes]) -> None:
        """Send frames as they are, well-formed or not."""
        ...

    def round_trip(self, timeout: float) -> bool:
        """Wait until the supervisor has received all that was sent before; false after `timeout` seconds."""
        ...


@runtime_checkable
class LinkUser(Protocol):
    """An engine that wants the link; asked before `load`."""

    def attach_link(self, link: RawLink) -> None:
        """Take the link."""
        ...
