"""`infsup start`: one supervisor process with its gateways, from the lock to the last reaped child."""

import asyncio
import logging
import os
import random
import signal
import socket
import time
from importlib.metadata import version
from pathlib import Path

from infsup.protocol.runtime import jobs_endpoint

from .config import Config
from .core import Core
from .decisions import Decision
from .gateway_process import Gateway, open_listener
from .notify import Notifier
from .restart import RestartPolicy
from .runtime_lock import RuntimeLock

log = logging.getLogger("infsup.server")

GATEWAY_GRACE = 3.0


class Server:
    """The whole server. `run` returns after a stop was asked for and everything has ended."""

    def __init__(self, config: Config, directory: Path) -> None:
        """Nothing is opened before `run`."""
        self.started_at = time.time()
        self.address = (config.server.host, config.server.port)
        self._config = config
        self._directory = directory
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._gateways: list[Gateway] = []
        self._core: Core | None = None
        self._ready = asyncio.Event()
        self._notifier = Notifier.from_env(os.environ)

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT or `infsup stop`; a second one ends everything at once.

        Raises `RuntimeDirectoryError` and `ListenError` before anything was started.
        """
        with RuntimeLock(self._directory), open_listener(*self.address) as listener:
            self.address = (self.address[0], listener.getsockname()[1])
            self._core = Core(self._config, self._directory, self)
            watchdog = asyncio.create_task(self._feed_watchdog())
            try:
                self._handle_signals()
                self._core.start()
                self._start_gateways(listener, self._core)
                await self._stop.wait()
                await self._shut_down(self._core)
            finally:
                watchdog.cancel()
                for gateway in self._gateways:
                    gateway.close()
                self._core.close()
                self._notifier.close()

    def request_stop(self, *, immediate: bool) -> None:
        """Begin to stop; asked twice, or `immediate`, without waiting for running jobs."""
        if self._stop.is_set() or immediate:
            self._stop_now.set()
        self._stop.set()

    def gateway_ready(self) -> None:
        """A gateway answers HTTP."""
        for gateway in self._gateways:
            gateway.on_ready()
        if not self._ready.is_set():
            self._ready.set()
            host, port = self.address
            shown = f"[{host}]" if ":" in host else host
            self._notifier.ready(f"{len(self._config.models)} model(s) on port {port}")
            log.info("ready: http://%s:%d/v1 (%s)", shown, port, ", ".join(self._config.models))

    def carry_out(self, decisions: list[Decision]) -> None:
        """Carry out decisions of the scheduler."""
        if self._core is not None:
            self._core.carry_out(decisions)

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: self.request_stop(immediate=False))
        loop.add_signal_handler(signal.SIGHUP, lambda: log.warning("SIGHUP: reload is not supported yet"))

    def _start_gateways(self, listener: socket.socket, core: Core) -> None:
        server = self._config.server
        settings = {
            "endpoint": jobs_endpoint(self._directory),
            "max_body": server.max_body.bytes,
            "api_keys": list(server.api_keys),
            "cors_origins": list(server.cors_origins),
            "log_level": self._config.log.level,
            "version": version("infsup"),
        }
        for number in range(server.gateways):
            policy = RestartPolicy(-1, 60.0, random.random)
            gateway = Gateway(f"gateway-{number + 1}", settings, listener, policy, core.on_client_gone)
            self._gateways.append(gateway)
            gateway.start()

    async def _feed_watchdog(self) -> None:
        # In the loop on purpose: systemd is to see when the loop stands still. It counts from READY on, and a message
        # before that could only fill its queue.
        await self._ready.wait()
        interval = self._notifier.watchdog_interval
        while interval is not None:
            self._notifier.watchdog()
            await asyncio.sleep(interval)

    async def _shut_down(self, core: Core) -> None:
        self._notifier.stopping()
        log.info("stopping: running jobs get up to %g s", self._config.pool.drain_timeout)
        gentle = asyncio.create_task(core.stop(self._config.pool.drain_timeout))
        hurry = asyncio.create_task(self._stop_now.wait())
        try:
            await asyncio.wait({gentle, hurry}, return_when=asyncio.FIRST_COMPLETED)
            if not gentle.done():
                log.warning("stopping at once")
                core.fail_all_jobs()
            grace = 0.5 if self._stop_now.is_set() else GATEWAY_GRACE
            await asyncio.gather(*(gateway.stop(grace) for gateway in self._gateways))
        finally:
            for task in (gentle, hurry):
                task.cancel()
            await asyncio.gather(gentle, hurry, return_exceptions=True)
        log.info("stopped")
