"""`infsup start`: one supervisor process with its gateways, from the lock to the last reaped child."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from infsup.protocol.errors import InfsupError, InvalidRequest, ShuttingDown
from infsup.protocol.runtime import jobs_endpoint

from .config import Config, ConfigError
from .core import Core
from .decisions import Decision
from .gateway_process import open_listener
from .gateways import Gateways
from .local_config import LocalConfig, log_warnings
from .notify import Notifier
from .runtime_lock import RuntimeLock

log = logging.getLogger("infsup.server")

GATEWAY_GRACE = 3.0


class Server:
    """The whole server. `run` returns after a stop was asked for and everything has ended."""

    def __init__(self, local: LocalConfig, directory: Path, read_config: Callable[[], LocalConfig]) -> None:
        """`read_config` reads the configuration again, for a reload. Nothing is opened before `run`."""
        self.started_at = time.time()
        self.address = (local.config.server.host, local.config.server.port)
        self._first = local
        self._read_config = read_config
        self._directory = directory
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._gateways: Gateways | None = None
        self._core: Core | None = None
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening = asyncio.Event()
        self._announced = asyncio.Event()
        self._notifier = Notifier.from_env(os.environ)

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT or `infsup stop`; a second one ends everything at once.

        Raises `RuntimeDirectoryError` and `ListenError` before anything was started.
        """
        with RuntimeLock(self._directory), open_listener(*self.address) as listener:
            self.address = (self.address[0], listener.getsockname()[1])
            core = self._core = Core(self._first, self._directory, self)
            gateways = self._gateways = Gateways(core.config.server.gateways, listener, core.on_client_gone)
            self._in_background(self._feed_watchdog())
            self._in_background(self._announce(core))
            try:
                self._handle_signals()
                core.start()
                gateways.start(self._gateway_settings(core.config))
                await self._stop.wait()
                await self._shut_down(core, gateways)
            finally:
                for task in self._tasks:
                    task.cancel()
                gateways.close()
                core.close()
                self._notifier.close()

    def request_stop(self, *, immediate: bool) -> None:
        """Begin to stop; asked twice, or `immediate`, without waiting for running jobs."""
        if self._stop.is_set() or immediate:
            self._stop_now.set()
        self._stop.set()

    def gateway_ready(self, name: str) -> None:
        """A gateway answers HTTP."""
        if self._gateways is not None:
            self._gateways.on_ready(name)
        self._listening.set()

    def client_beat(self, peer: bytes) -> None:
        """A client, which may be a gateway, is alive."""
        if self._gateways is not None:
            self._gateways.on_word(peer)

    def watch(self, lag: float) -> None:
        """Look after the gateways; for `lag` seconds nothing was read from the sockets."""
        if self._gateways is not None:
            self._gateways.watch(lag)

    async def reload(self) -> dict[str, Any]:
        """Read the configuration again and take over what differs. Says what that is.

        Raises `InvalidRequest` for a file with mistakes, `ShuttingDown`: then everything stays as it was.
        """
        async with self._reloading:
            core = self._core
            if core is None or self._stop.is_set():
                raise ShuttingDown("the server is stopping")
            if self._announced.is_set():  # before that, READY is still to come
                self._notifier.reloading()
            try:
                local = await asyncio.to_thread(self._read_config)
                log_warnings(local.warnings)
                changes = core.reload(local.config, local.weights)
                if changes.gateway and self._gateways is not None:
                    await self._gateways.replace(self._gateway_settings(core.config), core.config.pool.drain_timeout)
            except ConfigError as error:
                raise InvalidRequest(f"the configuration stays as it was; the file has mistakes:\n{error}") from error
            finally:
                if self._announced.is_set():
                    self._notifier.ready(self._summary(core.config))
            log.info("reloaded: %s", changes)
            for key in changes.server_restart_needed:
                log.warning("%s: a changed value takes effect only after a restart", key)
            return {"changes": str(changes), **asdict(changes)}

    async def _reload_by_signal(self) -> None:
        try:
            await self.reload()
        except InfsupError as error:
            log.error("reload: %s", error.message)  # noqa: TRY400 - the message says it all

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def carry_out(self, decisions: list[Decision]) -> None:
        """Carry out decisions of the scheduler."""
        if self._core is not None:
            self._core.carry_out(decisions)

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: self.request_stop(immediate=False))
        loop.add_signal_handler(signal.SIGHUP, lambda: self._in_background(self._reload_by_signal()))

    def _gateway_settings(self, config: Config) -> dict[str, Any]:
        server = config.server
        return {
            "endpoint": jobs_endpoint(self._directory),
            "max_body": server.max_body.bytes,
            "api_keys": list(server.api_keys),
            "cors_origins": list(server.cors_origins),
            "log_level": config.log.level,
            "version": version("infsup"),
        }

    async def _announce(self, core: Core) -> None:
        """Say that the server is ready, once it listens and what it was to prepare first is prepared."""
        await self._listening.wait()
        await core.preparation.wait_until_ready()
        host, port = self.address
        shown = f"[{host}]" if ":" in host else host
        self._notifier.ready(self._summary(core.config))
        self._announced.set()
        log.info("ready: http://%s:%d/v1 (%s)", shown, port, ", ".join(core.config.models))

    def _summary(self, config: Config) -> str:
        return f"{len(config.models)} model(s) on port {self.address[1]}"

    async def _feed_watchdog(self) -> None:
        # In the loop on purpose: systemd is to see when the loop stands still. It counts from READY on, and a message
        # before that could only fill its queue.
        await self._announced.wait()
        interval = self._notifier.watchdog_interval
        while interval is not None:
            self._notifier.watchdog()
            await asyncio.sleep(interval)

    async def _shut_down(self, core: Core, gateways: Gateways) -> None:
        self._notifier.stopping()
        drain = core.config.pool.drain_timeout
        log.info("stopping: running jobs get up to %g s", drain)
        gentle = asyncio.create_task(core.stop(drain))
        hurry = asyncio.create_task(self._stop_now.wait())
        try:
            await asyncio.wait({gentle, hurry}, return_when=asyncio.FIRST_COMPLETED)
            if not gentle.done():
                log.warning("stopping at once")
                core.fail_all_jobs()
            grace = 0.5 if self._stop_now.is_set() else GATEWAY_GRACE
            await gateways.stop(grace)
        finally:
            for task in (gentle, hurry):
                task.cancel()
            await asyncio.gather(gentle, hurry, return_exceptions=True)
        log.info("stopped")
