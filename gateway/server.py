"""Listening on the inherited socket, from the first connection to the last answer."""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import ContentEncodingError

from infsup.protocol.client import Client
from infsup.protocol.errors import InvalidRequest
from infsup.protocol.parent import has_parent

from .app import make_app
from .auth import Keys
from .body import http_mistake, unknown_encoding
from .context import GATEWAY, Gateway
from .errors import error_response
from .middleware import request_id
from .origins import Origins, is_loopback
from .settings import Settings

_LOG = logging.getLogger("infsup.gateway")
_PARENT_CHECK_S = 1.0
_DRAIN_TIMEOUT_S = 86400.0
"""Requests that run at the end are not ours to end: the supervisor ends their jobs."""
_READY_TIMEOUT_S = 30.0
_CONNECTION: Mapping[str, Any] = {"access_log": None}
"""Typed as `Any`: None is allowed, only not in aiohttp's annotations."""


class JsonErrors(web.RequestHandler):
    """A connection that answers what is no HTTP in the shape of every other error."""

    __slots__ = ("_server_name",)

    def __init__(self, manager: web.Server, server_name: str) -> None:
        """`server_name` is what the `Server` header says."""
        super().__init__(manager, loop=asyncio.get_running_loop(), **_CONNECTION)
        self._server_name = server_name

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log a bug with its traceback; a body that could not be decoded has been answered and is none."""
        if isinstance(kw.get("exc_info"), web.RequestPayloadError):
            _LOG.debug("a body could not be read")
        else:
            super().log_exception(*args, **kw)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Return the answer to a broken request; the connection is closed after it."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer was begun already")
        if status >= 500:
            _LOG.error("a request failed", exc_info=exc)
        if isinstance(exc, ContentEncodingError):
            error = unknown_encoding("one that is not supported")
        else:
            error = InvalidRequest(f"this is not a valid HTTP request: {http_mistake(message or '') or status}")
        response = error_response(error)
        response.headers["x-request-id"] = request_id(request)
        response.headers["Server"] = self._server_name
        response.force_close()
        return response


class Listener:
    """Serves one application on one listening socket. Use `start`, later `stop`."""

    def __init__(self, app: web.Application, listening: socket.socket) -> None:
        """Own the socket object."""
        self._socket = listening
        self._server_name = app[GATEWAY].server_name
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=_DRAIN_TIMEOUT_S)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to accept."""
        await self._runner.setup()
        self._server = await asyncio.get_running_loop().create_server(self._connection, sock=self._socket)

    async def stop(self) -> None:
        """Accept nothing more, let running requests finish, close."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _connection(self) -> web.RequestHandler:
        server = self._runner.server
        if server is None:
            raise RuntimeError("not started")
        return JsonErrors(server, self._server_name)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or until the supervisor is gone. Raises `InfsupError` when it does not know this gateway."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    client = Client(settings.endpoint)
    await client.connect(identity=settings.identity_bytes)
    listening = socket.socket(fileno=settings.fd)
    listener = Listener(make_app(_gateway(settings, client, listening)), listening)
    watch = asyncio.create_task(_watch_parent(settings.parent, stopping))
    try:
        await listener.start()
        await client.control("gateway_ready", timeout=_READY_TIMEOUT_S, name=settings.name)
        _LOG.info("listening on %s", _name(listening))
        # What lives now lives to the end: the collector need not look at it again, nor copy its pages.
        gc.collect()
        gc.freeze()
        await stopping.wait()
    finally:
        watch.cancel()
        await listener.stop()
        await client.close()


def _gateway(settings: Settings, client: Client, listening: socket.socket) -> Gateway:
    address: Any = listening.getsockname()
    loopback = listening.family == socket.AF_UNIX or is_loopback(str(address[0]))
    return Gateway(settings, client, Keys(settings.api_keys), Origins(settings.cors_origins, loopback=loopback))


async def _watch_parent(parent: int, stopping: asyncio.Event) -> None:
    while has_parent(parent):  # noqa: ASYNC110 - the other side of this is a process, it sets no event
        await asyncio.sleep(_PARENT_CHECK_S)
    _LOG.error("the supervisor is gone")
    stopping.set()


def _name(listening: socket.socket) -> str:
    address: Any = listening.getsockname()
    return address if isinstance(address, str) else f"{address[0]}:{address[1]}"
