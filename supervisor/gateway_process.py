"""The gateway processes: they serve HTTP on a socket that the supervisor opened and keeps, and are restarted."""

import asyncio
import contextlib
import errno
import json
import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable, Mapping
from typing import Any

from .deaths import describe_exit
from .gateway_health import GatewayHealth
from .process import ChildProcess, LogRing
from .restart import RestartPolicy

log = logging.getLogger("infsup.gateway")


class ListenError(Exception):
    """The address cannot be listened on; the message says why and what to do."""


def open_listener(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises `ListenError`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ListenError(f"cannot listen on {host!r}: {error.strerror}") from error
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        hint = "; is another server running? choose another with --port" if error.errno == errno.EADDRINUSE else ""
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror}{hint}") from error
    return listener


class LineLogger:
    """Puts a child's log lines into ours at the level they name; a traceback's lines keep the level before them."""

    def __init__(self, name: str) -> None:
        """`name` stands before each line."""
        self.name = name
        self._level = logging.INFO

    def __call__(self, line: str) -> None:
        """Log one line."""
        word, _, rest = line.partition(" ")
        level = logging.getLevelNamesMapping().get(word)
        if level is not None:
            self._level, line = level, rest
        log.log(self._level, "%s: %s", self.name, line)


class Gateway:
    """One gateway process and its restarts."""

    def __init__(
        self,
        name: str,
        settings: Mapping[str, Any],
        listener: socket.socket,
        policy: RestartPolicy,
        on_gone: Callable[[bytes], None],
    ) -> None:
        """`settings` go to the process as JSON on stdin; `on_gone` gets its ZeroMQ identity when it dies."""
        self.identity = b"g-" + secrets.token_bytes(12)
        self.name = name
        self._settings = settings
        self._listener = listener
        self._policy = policy
        self._on_gone = on_gone
        self._child: ChildProcess | None = None
        self._health: GatewayHealth | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._stopping = False
        self._ready = asyncio.Event()

    def on_ready(self) -> None:
        """It answers HTTP: a later death is restarted at once."""
        self._ready.set()
        if self._health is not None:
            self._health.on_ready(asyncio.get_running_loop().time())

    def on_word(self) -> None:
        """It has sent a message."""
        if self._health is not None:
            self._health.on_word(asyncio.get_running_loop().time())

    def watch(self, lag: float) -> None:
        """End the process if it hangs; it is restarted then. `lag` is as for `GatewayHealth.find_stall`."""
        if self._health is None or self._child is None:
            return
        why = self._health.find_stall(asyncio.get_running_loop().time(), lag)
        if why is not None:
            self._health = None
            log.error("%s: stalled: %s", self.name, why)
            self._child.kill()

    async def wait_until_ready(self) -> None:
        """Wait until it answers HTTP."""
        await self._ready.wait()

    @property
    def pid(self) -> int:
        """The process id, 0 while there is none."""
        return self._child.pid if self._child else 0

    def start(self) -> None:
        """Start the process."""
        self._retry = None
        self._child = ChildProcess(self.name, self._on_exit, LogRing(LineLogger(self.name)))
        settings = {
            **self._settings,
            "name": self.name,
            "identity": self.identity.hex(),
            "fd": self._listener.fileno(),
            "parent": os.getpid(),
        }
        env = {**os.environ, "MALLOC_ARENA_MAX": "2", "PYTHONUNBUFFERED": "1"}
        data = json.dumps(settings).encode() + b"\n"
        try:
            self._child.start("infsup.gateway", env, stdin=data, pass_fds=(self._listener.fileno(),))
            self._health = GatewayHealth(asyncio.get_running_loop().time())
        except OSError as error:
            log.exception("the gateway could not be started")
            self._schedule_restart(str(error))

    async def stop(self, grace: float) -> None:
        """SIGTERM, after `grace` seconds SIGKILL; returns when the process is reaped."""
        self._stopping = True
        if self._retry is not None:
            self._retry.cancel()
        if self._child is None or not self._child.running:
            return
        self._child.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._ended.wait()
                return
        self._child.kill()
        await self._ended.wait()

    def close(self) -> None:
        """Kill and reap synchronously. For every way out."""
        self._stopping = True
        if self._retry is not None:
            self._retry.cancel()
        if self._child is not None:
            self._child.close()

    def _on_exit(self, child: ChildProcess) -> None:
        self._ended.set()
        self._health = None
        self._on_gone(self.identity)
        if not self._stopping:
            self._ended.clear()
            log.error("%s ended (%s), restarting", self.name, describe_exit(child.returncode)[0])
            self._schedule_restart(f"exit {child.returncode}")

    def _schedule_restart(self, reason: str) -> None:
        loop = asyncio.get_running_loop()
        self.identity = b"g-" + secrets.token_bytes(12)
        self._policy.on_death(loop.time(), 0.0, reason, served=self._ready.is_set(), counts=True)
        self._ready.clear()
        self._retry = loop.call_at(self._policy.not_before, self.start)
