"""The blocking twin of the client, for programs without an event loop."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from .client import Client, JobHandle
from .messages import JobEvent

T = TypeVar("T")


class BlockingClient:
    """A `Client` on an event loop in a thread of its own, so that beats go on while the caller is busy elsewhere.

    Methods may be called from any thread. Use as a context manager.
    """

    def __init__(self, endpoint: str | Path) -> None:
        """Connect. Returns at once: a supervisor that is not there shows when a call times out."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="infsup-client", daemon=True)
        self._thread.start()
        self.client = Client(endpoint)
        """What the methods below call; its coroutines have to go through `start`."""
        self._wait(self.client.connect())

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Cancel what is left, close the connection and end the thread. Harmless when closed already."""
        if self._loop.is_closed():
            return
        self._wait(self.client.close())
        self._wait(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def control(self, verb: str, *, timeout: float = 10.0, **args: Any) -> Any:
        """Make a control call; see `Client.control`."""
        return self._wait(self.client.control(verb, timeout=timeout, **args))

    def run(self, model: str, task: str, params: Mapping[str, Any], **options: Any) -> Mapping[str, Any]:
        """Run a job and return its result; see `Client.run`."""
        return self._wait(self.client.run(model, task, params, **options))

    def stream(self, model: str, task: str, params: Mapping[str, Any], **options: Any) -> Iterator[JobEvent]:
        """Run a job and yield its events; leaving the loop early cancels it."""
        handle = self._wait(self.client.submit(model, task, params, **options))
        try:
            while (event := self._wait(next_event(handle))) is not None:
                yield event
        finally:
            self.cancel(handle)

    def cancel(self, handle: JobHandle) -> None:
        """Ask for a job to be cancelled; see `JobHandle.cancel`. Does not wait; harmless after `close`."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(handle.cancel)

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine of `client`; cancelling the future cancels it. Raises `RuntimeError` after `close`."""
        if self._loop.is_closed():
            coroutine.close()
            raise RuntimeError("this client is closed")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        future = self.start(coroutine)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise


async def next_event(handle: JobHandle) -> JobEvent | None:
    """Return the job's next event, None after the last one."""
    return await anext(handle, None)
