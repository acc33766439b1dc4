"""The jobs of one HTTP request, awaited together and cancelled together."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from infsup.protocol.client import JobHandle
from infsup.protocol.errors import Cancelled, InfsupError, ShuttingDown
from infsup.protocol.messages import FINAL_EVENTS, CancelledEvent, Done, Failed, JobEvent

_MOST_AT_ONCE = 64
"""Events of one job taken together, so that no client's answer waits for more than a screenful."""

Locate = Callable[[InfsupError, int], InfsupError]
"""From a job's error and number to the error as the client of all the jobs gets it."""


class JobGroup:
    """Use as an async context manager: whatever still runs when it is left is cancelled."""

    def __init__(self, handles: Iterable[JobHandle], locate: Locate | None = None) -> None:
        """Own these jobs; they are told apart by their position. `locate` says of which one an error is."""
        self.handles = tuple(handles)
        self._locate = locate
        self._open = set(range(len(self.handles)))
        self._waits: dict[asyncio.Task[JobEvent], int] = {}

    async def __aenter__(self) -> Self:
        """Return self."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancel the jobs that have not ended."""
        for handle in self.handles:
            handle.cancel()
        for wait in self._waits:
            wait.cancel()
        self._waits.clear()

    @property
    def running(self) -> bool:
        """Whether events are still to come."""
        return bool(self._open)

    async def next(self, timeout: float | None = None) -> list[tuple[int, JobEvent]]:
        """Wait for events and return those that are there, each with its job's number; none after `timeout` seconds.

        What it returns counts as consumed at the next call.
        """
        # Only here: asking a job for its next event says that the last one was consumed (credit).
        for number in self._open.difference(self._waits.values()):
            self._waits[asyncio.ensure_future(_next_event(self.handles[number]))] = number
        done, _ = await asyncio.wait(self._waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        batch: list[tuple[int, JobEvent]] = []
        for wait in sorted(done, key=self._waits.__getitem__):
            number = self._waits.pop(wait)
            events = [wait.result()]
            while self.handles[number].pending and len(events) < _MOST_AT_ONCE:
                events.append(await anext(self.handles[number]))
            if isinstance(events[-1], FINAL_EVENTS):
                self._open.remove(number)
            batch += [(number, self._located(number, event)) for event in events]
        return batch

    def _located(self, number: int, event: JobEvent) -> JobEvent:
        if self._locate is None or not isinstance(event, Failed):
            return event
        return Failed(self._locate(event.error, number))

    async def results(self) -> list[Mapping[str, Any]]:
        """Wait for all to end and return their results in order. Raises the `InfsupError` of the first that fails."""
        results: dict[int, Mapping[str, Any]] = {}
        while self.running:
            for number, event in await self.next():
                raise_failure(event)
                if isinstance(event, Done):
                    results[number] = event.result
        return [results[number] for number in sorted(results)]


def raise_failure(event: JobEvent) -> None:
    """Raise the error of a job that ended badly."""
    if isinstance(event, Failed):
        raise event.error
    if isinstance(event, CancelledEvent):
        raise Cancelled("the job was cancelled", partial=event.partial)


async def _next_event(handle: JobHandle) -> JobEvent:
    with contextlib.suppress(StopAsyncIteration):
        return await anext(handle)
    return Failed(ShuttingDown("the connection to the supervisor closed before the job ended"))
