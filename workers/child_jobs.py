"""What a running job asks of other models: `JobContext.client` and the connection behind it."""

import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any, TypeVar

from infsup.protocol.messages import JobEvent

from .engine import JobCancelled, JobContext
from .progress import Progress

if TYPE_CHECKING:
    from infsup.protocol.blocking import BlockingClient

T = TypeVar("T")


class JobsConnection:
    """The worker's one connection for jobs of its own, opened by the first that needs it. Close it with the worker."""

    def __init__(self, endpoint: str) -> None:
        """Remember the address."""
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._client: BlockingClient | None = None
        self._closed = False

    def open(self) -> "BlockingClient":
        """Return the client, connected. Raises `RuntimeError` after `close`."""
        # Most workers never come here: they need not pay for asyncio.
        from infsup.protocol.blocking import BlockingClient  # noqa: PLC0415

        with self._lock:
            if self._closed:
                raise RuntimeError("the worker's connection for child jobs is closed")
            if self._client is None:
                self._client = BlockingClient(self._endpoint)
            return self._client

    def close(self) -> None:
        """Cancel what is left and close. Harmless when never opened."""
        with self._lock:
            self._closed = True
            client, self._client = self._client, None
        if client is not None:
            client.close()


class ChildJobs:
    """The client of one job: what it submits are children of that job, which wait before others and end with it.

    Methods block; several threads may call at once. While one waits the worker's phase is `waiting`, and when the
    parent is cancelled it raises `JobCancelled`.
    """

    def __init__(self, connection: JobsConnection, token: str, context: JobContext, progress: Progress) -> None:
        """`token` is the job's own, `context` tells of its cancellation, `progress` of what the worker does."""
        self._connection = connection
        self._token = token
        self._context = context
        self._progress = progress
        self._lock = threading.Lock()
        self._waits: set[Future[Any]] = set()
        context.on_cancel(self._interrupt)

    def run(self, model: str, task: str, params: Mapping[str, Any], **options: Any) -> Mapping[str, Any]:
        """Run a child and return its result; `options` as for `Client.submit`. Raises `InfsupError`."""
        client = self._connection.open()
        return self._wait(client.start, client.client.run(model, task, params, **options, parent=self._token))

    def stream(self, model: str, task: str, params: Mapping[str, Any], **options: Any) -> Iterator[JobEvent]:
        """Run a child and yield its events, the last one `Done`, `Failed` or `CancelledEvent`.

        Leaving the loop early cancels it.
        """
        from infsup.protocol.blocking import next_event  # noqa: PLC0415 - see `JobsConnection.open`

        client = self._connection.open()
        submit = client.client.submit(model, task, params, **options, parent=self._token)
        handle = self._wait(client.start, submit)
        try:
            while (event := self._wait(client.start, next_event(handle))) is not None:
                yield event
        finally:
            client.cancel(handle)

    def _wait(self, start: Callable[[Coroutine[Any, Any, T]], Future[T]], coroutine: Coroutine[Any, Any, T]) -> T:
        future = start(coroutine)
        self._begin(future)
        try:
            return future.result()
        except CancelledError:
            raise JobCancelled from None
        finally:
            self._end(future)

    def _begin(self, future: Future[Any]) -> None:
        with self._lock:
            self._waits.add(future)
            if len(self._waits) == 1:
                self._progress.begin_wait()
        if self._context.cancelled:  # it may have come before the future was in the set
            future.cancel()

    def _end(self, future: Future[Any]) -> None:
        with self._lock:
            self._waits.discard(future)
            if not self._waits:
                self._progress.end_wait()

    def _interrupt(self) -> None:
        with self._lock:
            waits = list(self._waits)
        for future in waits:
            future.cancel()
