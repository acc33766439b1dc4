"""The gateways of a server: starts them, and replaces them one by one when their settings change."""

import asyncio
import logging
import random
import socket
from collections.abc import Callable, Mapping
from typing import Any

from .gateway_process import Gateway
from .restart import RestartPolicy

log = logging.getLogger("infsup.gateway")

READY_SECONDS = 30.0
"""How long a new gateway may take before its predecessor is ended."""


class Gateways:
    """Owns the gateway processes, those that serve and those that finish their last answers."""

    def __init__(self, count: int, listener: socket.socket, on_gone: Callable[[bytes], None]) -> None:
        """All accept on `listener`; `on_gone` gets the ZeroMQ identity of one that died."""
        self._count = count
        self._listener = listener
        self._on_gone = on_gone
        self._started = 0
        self._serving: list[Gateway] = []
        self._leaving: dict[Gateway, asyncio.Task[None]] = {}

    def start(self, settings: Mapping[str, Any]) -> None:
        """Start them."""
        for _ in range(self._count):
            self._serving.append(self._new(settings))

    def on_ready(self, name: str) -> None:
        """The gateway of this name answers HTTP."""
        for gateway in self._serving:
            if gateway.name == name:
                gateway.on_ready()

    def on_word(self, identity: bytes) -> None:
        """A client of this ZeroMQ identity, which may be a gateway, has sent a beat."""
        for gateway in (*self._serving, *self._leaving):
            if gateway.identity == identity:
                gateway.on_word()

    def watch(self, lag: float) -> None:
        """End those that hang. Call it once a second, after the sockets were read; `lag` as for `Gateway.watch`."""
        for gateway in (*self._serving, *self._leaving):
            gateway.watch(lag)

    async def replace(self, settings: Mapping[str, Any], grace: float) -> None:
        """Start each anew with other settings; the old one stops accepting then, and finishes its answers.

        `grace` in seconds is how long it may take for those. Returns when all new ones serve.
        """
        for old in list(self._serving):
            new = self._new(settings)
            self._serving.append(new)
            try:
                async with asyncio.timeout(READY_SECONDS):
                    await new.wait_until_ready()
            except TimeoutError:
                log.error("%s does not serve after %g s; it goes on trying", new.name, READY_SECONDS)  # noqa: TRY400
            self._serving.remove(old)
            self._leaving[old] = asyncio.create_task(self._end(old, grace))

    async def _end(self, gateway: Gateway, grace: float) -> None:
        await gateway.stop(grace)
        self._leaving.pop(gateway, None)

    async def stop(self, grace: float) -> None:
        """End all: SIGTERM, after `grace` seconds SIGKILL; returns when they are reaped."""
        await asyncio.gather(*(gateway.stop(grace) for gateway in (*self._serving, *self._leaving)))

    def close(self) -> None:
        """Kill and reap whatever is left, synchronously. For every way out."""
        for gateway, task in list(self._leaving.items()):
            task.cancel()
            gateway.close()
        for gateway in self._serving:
            gateway.close()

    def _new(self, settings: Mapping[str, Any]) -> Gateway:
        self._started += 1
        policy = RestartPolicy(-1, 60.0, random.random)
        gateway = Gateway(f"gateway-{self._started}", settings, self._listener, policy, self._on_gone)
        gateway.start()
        return gateway
