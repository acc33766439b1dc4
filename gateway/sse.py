"""Server-sent events whose headers wait for the first event, so that an early failure still gets an HTTP status."""

import asyncio
import json

from aiohttp import web

from infsup.protocol.errors import InfsupError

KEEP_ALIVE = b": keep-alive\n\n"
WRITE_TIMEOUT_S = 60.0
"""A client that reads nothing for this long is gone, whatever its connection says."""
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class EventStream:
    """One response. Nothing is sent before the first `send`."""

    def __init__(self, request: web.Request) -> None:
        """Answer this request."""
        self._request = request
        self._response = web.StreamResponse(headers=_HEADERS)
        self._response.content_type = "text/event-stream"
        self._response.charset = "utf-8"

    @property
    def started(self) -> bool:
        """Whether the status is sent: from here on, errors are events."""
        return self._response.prepared

    async def send(self, data: bytes) -> None:
        """Send events, after the headers if need be; waits while the client is behind.

        Raises `ConnectionError` when the client is gone, or does not read (the connection is dropped then).
        """
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                if not self._response.prepared:
                    await self._response.prepare(self._request)
                await self._response.write(data)
        except TimeoutError as error:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ConnectionAbortedError(f"the client has read nothing for {WRITE_TIMEOUT_S:g} s") from error

    async def finish(self, data: bytes = b"") -> web.StreamResponse:
        """Send the last events and return the finished response."""
        if data:
            await self.send(data)
        await self._response.write_eof()
        return self._response


def error_event(error: InfsupError) -> bytes:
    """Return the event by which a stream ends that cannot be finished."""
    return b"data: " + json.dumps(error.to_body(), separators=(",", ":")).encode() + b"\n\n"
