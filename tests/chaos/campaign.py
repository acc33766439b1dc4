"""One chaos run: a server, 16 clients, the faults of a plan, and what is left when it is over."""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp

from tests.integration.real_server import RealServer, wait_for

from .attacks import Attack
from .client import Ending, Outcome, open_session, perform
from .injector import Injector, Recovery, Target
from .landscape import MODELS, configuration
from .observer import Observer
from .plan import Injection, Request, injections, probe, requests
from .processes import TAG, Footprint, footprint, processes_of

CLIENTS = 16
_SETTLE_S = 60.0
_GONE_S = 2.0
_WARM_UP_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Campaign:
    """What to do: for how long, a fault every so many seconds, the supervisor stopped for `freeze_s` at a time."""

    seed: int = 1
    seconds: float = 39.0
    fault_every_s: float = 1.5
    freeze_s: float = 6.0


@dataclass(slots=True)
class Findings:
    """What a run showed. `problems` are broken promises; there must be none."""

    campaign: Campaign
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    recoveries: list[Recovery] = field(default_factory=list[Recovery])
    missed: list[Injection] = field(default_factory=list[Injection])
    gateway_kills: list[float] = field(default_factory=list[float])
    attacks: list[Attack] = field(default_factory=list[Attack])
    deaths: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    problems: list[str] = field(default_factory=list[str])
    before: Footprint | None = None
    after: Footprint | None = None


def run_campaign(campaign: Campaign, directory: Path) -> Findings:
    """Start a server in this directory, bring chaos to it, stop it. Raises `AssertionError` if it cannot start."""
    tag = secrets.token_hex(8)
    server = RealServer(configuration(directory), directory)
    findings = Findings(campaign)
    with mock.patch.dict(os.environ, {TAG: tag}):
        server.start()
    try:
        asyncio.run(_Run(campaign, server, tag, findings).run())
    finally:
        with _noting(findings.problems):
            server.stop()
        with _noting(findings.problems):
            wait_for(lambda: not _left(tag), _GONE_S, lambda: f"processes are left: {_left(tag)}")
    return findings


def _left(tag: str) -> list[int]:
    return [process.pid for process in processes_of(tag, -1)]


@contextlib.contextmanager
def _noting(problems: list[str]) -> Generator[None]:
    try:
        yield
    except AssertionError as error:
        problems.append(str(error)[:500])


class _Run:
    """The part of a campaign that happens while the server runs."""

    def __init__(self, campaign: Campaign, server: RealServer, tag: str, findings: Findings) -> None:
        self._campaign = campaign
        self._server = server
        self._tag = tag
        self._found = findings
        self._over = asyncio.Event()

    async def run(self) -> None:
        async with open_session(self._server.url) as session:
            observer = Observer(session, self._server.pid, self._server.runtime, self._tag)
            await self._warm_up(session)
            await self._settle(observer)
            self._found.before = footprint(self._server.pid)
            watching = asyncio.create_task(observer.watch())
            try:
                await self._disturb(session, observer)
                await self._check_all_serve(session)
                await self._settle(observer)
                await self._check_gpu_slot(session, observer)
                await self._settle(observer)
            finally:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
            await observer.note_deaths()
            self._found.after = footprint(self._server.pid)
            self._found.problems += sorted(observer.problems)
            self._found.deaths += observer.deaths.values()

    async def _warm_up(self, session: aiohttp.ClientSession) -> None:
        """Touch everything once: what is allocated then is no leak."""
        for number in range(_WARM_UP_ROUNDS):
            asked = [
                perform(session, request)
                for client in range(CLIENTS)
                for request in self._first_requests(1000 * (number + 1) + client)
            ]
            self._found.outcomes += await asyncio.gather(*asked)

    def _first_requests(self, client: int) -> Iterator[Request]:
        script = requests(self._campaign.seed, client)
        for _ in range(3):
            yield next(script)[1]

    async def _disturb(self, session: aiohttp.ClientSession, observer: Observer) -> None:
        target = Target(self._server.pid, self._server.runtime, self._server.config, self._gateway)
        injector = Injector(target, session, observer, self._found.outcomes, self._campaign.freeze_s)
        clients = [asyncio.create_task(self._be_client(session, number)) for number in range(CLIENTS)]
        await self._inject(injector)
        self._over.set()
        await asyncio.gather(*clients)
        await injector.finish()
        self._found.recoveries = injector.recoveries
        self._found.missed = injector.missed
        self._found.gateway_kills = injector.gateway_kills
        self._found.attacks = injector.attacks
        self._found.problems += injector.problems

    async def _inject(self, injector: Injector) -> None:
        campaign = self._campaign
        plan = injections(campaign.seed, campaign.seconds, campaign.fault_every_s)
        began = time.monotonic()
        faults: list[asyncio.Task[None]] = []
        for injection in plan:
            await asyncio.sleep(max(0.0, began + injection.at - time.monotonic()))
            faults.append(asyncio.create_task(injector.inject(injection)))
        await asyncio.gather(*faults)

    async def _be_client(self, session: aiohttp.ClientSession, number: int) -> None:
        for think_s, request in requests(self._campaign.seed, number):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(think_s):
                    await self._over.wait()
                    return
            self._found.outcomes.append(await perform(session, request))

    async def _check_all_serve(self, session: aiohttp.ClientSession) -> None:
        for model in MODELS:
            if model.serves:
                outcome = await perform(session, probe(model.name, "after all"))
                if outcome.ending is not Ending.SUCCESS and model.name != "fragile":
                    self._found.problems.append(f"{model.name} does not serve at the end: {outcome.code}")

    async def _check_gpu_slot(self, session: aiohttp.ClientSession, observer: Observer) -> None:
        """Nobody holds the slot now: who takes it only when it is free must get it, then those who must have it."""
        for model in ("gpu-auto", "gpu-a", "gpu-b"):
            outcome = await perform(session, probe(model, "the slot is free"))
            devices = [one["device"] for one in (await observer.instances()).values() if one["model"] == model]
            if outcome.ending is not Ending.SUCCESS or "cpu" in devices:
                self._found.problems.append(f"the GPU slot has leaked: {model} {outcome.ending.value} on {devices}")

    async def _settle(self, observer: Observer) -> None:
        """Wait until no job is left and only the instances that are always there."""
        kept = sorted(model.name for model in MODELS if "min_instances" in model.settings)
        until = time.monotonic() + _SETTLE_S
        seen: object = None
        while time.monotonic() < until:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, KeyError):
                pool = await observer.pool()
                states = sorted((one["model"], one["state"]) for one in pool["instances"].values())
                seen = (pool["processing"], pool["pending"], states)
                if seen == (0, 0, [(name, "idle") for name in kept]):
                    return
            await asyncio.sleep(0.1)
        self._found.problems.append(f"the server did not come to rest in {_SETTLE_S:g} s: {seen}")

    def _gateway(self) -> int | None:
        for process in processes_of(self._tag, self._server.pid):
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
                if process.pid != self._server.pid and b"infsup.gateway" in command:
                    return process.pid
        return None
