"""Watches a running server from outside: its answers to GET /, what it tells of deaths, and the process table."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from infsup.protocol.client import Client
from infsup.protocol.errors import InfsupError

from .landscape import BY_NAME, BYSTANDER, MODELS
from .processes import Process, processes_of

_EVERY_S = 1.0
_DEATHS_EVERY = 4
"""Looks between two readings of the list of deaths, which holds the last 20."""
_ZOMBIE_S = 5.0
"""How long a dead child may wait for its parent; a busy box is slow, but not that slow."""
_ASK_S = 30.0
_GPU_SLOTS = 1
_DEVICES = {True: {True}, False: {False}, "auto": {True, False}}
"""By what a model says of the GPU: whether its instances may have it."""


class Observer:
    """`watch` until cancelled; `problems` are the promises it saw broken."""

    def __init__(self, session: aiohttp.ClientSession, supervisor: int, runtime: Path, tag: str) -> None:
        """`runtime` is the directory of the server's sockets, `tag` marks the processes of the run."""
        self.problems: set[str] = set()
        self.deaths: dict[str, dict[str, Any]] = {}
        self._session = session
        self._supervisor = supervisor
        self._runtime = runtime
        self._tag = tag
        self._zombies: dict[int, float] = {}
        self._bystanders: set[int] = set()

    async def watch(self) -> None:
        """Look at intervals."""
        limits = {model.name: model.instances for model in MODELS}
        looks = 0
        while True:
            self.see_processes(processes_of(self._tag, self._supervisor), time.monotonic())
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, KeyError):
                self.see_instances(await self.instances(), limits)
            if looks % _DEATHS_EVERY == 0:
                await self.note_deaths()
            looks += 1
            await asyncio.sleep(_EVERY_S)

    async def instances(self) -> dict[str, dict[str, Any]]:
        """Return the instances as the server tells them. Raises `ClientError`, `TimeoutError`, and `KeyError` for an
        error in place of the answer.
        """
        return (await self.pool())["instances"]

    async def pool(self) -> dict[str, Any]:
        """Return the state of the pool; raises as `instances` does."""
        async with asyncio.timeout(_ASK_S), self._session.get("/") as response:
            return (await response.json())["pool"]

    async def note_deaths(self) -> None:
        """Collect what `infsup deaths` would show; nothing when the server does not answer."""
        with contextlib.suppress(InfsupError, TimeoutError):
            async with Client(self._runtime) as client:
                self.deaths |= {death["instance"]: death for death in await client.control("deaths", timeout=_ASK_S)}

    def see_processes(self, found: list[Process], now: float) -> None:
        """Judge the processes of the run as they are at `now` (monotonic seconds)."""
        by_pid = {process.pid: process for process in found}
        supervisor = by_pid.get(self._supervisor)
        if supervisor is None or supervisor.state == "Z":
            self.problems.add("the supervisor has died")
            return
        zombies = {process.pid for process in found if process.state == "Z"}
        if supervisor.state == "T":  # it cannot reap now
            zombies.clear()
        self._zombies = {pid: self._zombies.get(pid, now) for pid in zombies}
        for pid, since in self._zombies.items():
            if now - since > _ZOMBIE_S:
                self.problems.add(f"zombie: pid {pid}")
        for process in found:
            if self._supervisor not in (process.pid, process.parent):
                self.problems.add(f"orphan: pid {process.pid}, parent {process.parent}")

    def see_instances(self, instances: Mapping[str, Mapping[str, Any]], limits: Mapping[str, int]) -> None:
        """Judge the instances (as GET / tells them) by how many each model may have."""
        for name, limit in limits.items():
            living = [one for one, facts in instances.items() if facts["model"] == name]
            if len(living) > limit:
                self.problems.add(f"{len(living)} instances of {name}, allowed are {limit}: {living}")
        with_gpu = [one for one, facts in instances.items() if facts["device"] == "gpu"]
        if len(with_gpu) > _GPU_SLOTS:
            self.problems.add(f"{len(with_gpu)} instances have the GPU slot: {with_gpu}")
        for one, facts in instances.items():
            if (facts["device"] == "gpu") not in _DEVICES[BY_NAME[facts["model"]].gpu]:
                self.problems.add(f"{one} runs on {facts['device']}")
        self._bystanders |= {facts["pid"] for facts in instances.values() if facts["model"] == BYSTANDER}
        if len(self._bystanders) > 1:
            self.problems.add(f"the bystander's worker was replaced: pids {sorted(self._bystanders)}")
