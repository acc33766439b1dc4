"""Does what the plan says to the server, and measures how long each model takes to serve again."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from . import stranger
from .attacks import Attack
from .client import Ending, Outcome, perform
from .landscape import BY_NAME, LEAK_MB, MAX_MEMORY_MB
from .observer import Observer
from .plan import LOAD_FAULTS, Fault, Injection, Manner, Request, known_answers, probe
from .processes import footprint, parent_of
from .reload import Reloader

RECOVERY_LIMIT_S = 60.0
_PROBE_PAUSE_S = 0.02
_BUSY_PROCESSES, _BUSY_S = 4, 4.0
_BAIT_S, _LOOK_S = 10.0, 0.05
_IN_LOAD_S, _LEAK_S = 20.0, 30.0
"""How long a load may take to come, and a worker over its limit to be replaced."""
_ATTEMPTS, _SEEDS = 3, 4
"""How often an order is tried, and how many parameters of its own each injection may use."""
_ORDERS = {
    Fault.SEGFAULT: "!segfault",
    Fault.ABORT: "!abort",
    Fault.CRASH: "!crash",
    Fault.EXIT: "!exit 3",
    Fault.OOM: "!oom",
    Fault.HANG: "!hang",
    Fault.FREEZE: "!freeze",
    Fault.GIL: "!gil 30",
    Fault.GARBAGE: "!garbage",
    Fault.BIG_FRAMES: "!oversize",
    Fault.LEAK: f"!leak {LEAK_MB}",
    Fault.LOAD_FAILURE: "!error no such luck",
    Fault.LOAD_CRASH: "!segfault",
    Fault.LOAD_SLOW: "!sleep 3",
    Fault.LOAD_HANG: "!hang",
}
_HARMLESS = frozenset({Fault.GARBAGE, Fault.BIG_FRAMES, Fault.LEAK})
_DEADLY = frozenset({Fault.SEGFAULT, Fault.ABORT, Fault.CRASH, Fault.EXIT, Fault.OOM})
_SIGNALS = {Fault.SIGKILL: signal.SIGKILL, Fault.SIGSTOP: signal.SIGSTOP, Fault.SIGTERM: signal.SIGTERM}


@dataclass(frozen=True, slots=True)
class Recovery:
    """A fault that was injected, and the seconds until its model served a request that began after it."""

    fault: Fault
    model: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Target:
    """The server under attack."""

    supervisor: int
    runtime: Path
    config: Path
    gateway: Callable[[], int | None]


class Injector:
    """Injects one fault per call of `inject`; any number may run at once."""

    def __init__(
        self,
        target: Target,
        session: aiohttp.ClientSession,
        observer: Observer,
        outcomes: list[Outcome],
        freeze_s: float,
    ) -> None:
        """What requests end with goes to `outcomes`; the supervisor is stopped for `freeze_s` at a time."""
        self.recoveries: list[Recovery] = []
        self.missed: list[Injection] = []
        self.problems: list[str] = []
        self.gateway_kills: list[float] = []
        self.attacks: list[Attack] = []
        self._reloader = Reloader(target.supervisor, target.config)
        self._asked: set[asyncio.Task[Outcome]] = set()
        self._target = target
        self._session = session
        self._observer = observer
        self._outcomes = outcomes
        self._freeze_s = freeze_s

    async def inject(self, injection: Injection) -> None:
        """Do it, and wait until the model serves again."""
        began = time.time()
        struck_at = await self._strike(injection)
        if struck_at is None:
            self.missed.append(injection)
        else:
            await self._wait_for_recovery(injection, struck_at)
        if injection.fault.strikes_workers:
            self.attacks.append(Attack(injection.model, began, time.time()))

    async def _wait_for_recovery(self, injection: Injection, struck_at: float) -> None:
        mark = f"after fault {injection.number}"
        while True:
            outcome = await perform(self._session, probe(injection.model, mark))
            self._outcomes.append(outcome)
            if outcome.ending is Ending.SUCCESS:
                self.recoveries.append(Recovery(injection.fault, injection.model, outcome.ended - struck_at))
                return
            if outcome.ended - struck_at > RECOVERY_LIMIT_S:
                self.problems.append(f"{injection.model} did not recover from {injection.fault.value}: {outcome}")
                return
            await asyncio.sleep(_PROBE_PAUSE_S)

    async def finish(self) -> None:
        """Wait for the ends of the requests that carried faults."""
        self._outcomes += await asyncio.gather(*self._asked)

    async def _strike(self, injection: Injection) -> float | None:
        """Return when the fault was there, None when there was nothing to strike."""
        match injection.fault:
            case Fault.SIGKILL | Fault.SIGSTOP | Fault.SIGTERM:
                return await self._signal_worker(injection, _SIGNALS[injection.fault])
            case Fault.GATEWAY:
                return self._kill_gateway()
            case Fault.SUPERVISOR:
                return await self._stop_supervisor()
            case Fault.BUSY:
                return await self._keep_busy()
            case Fault.STRANGER:
                return await _in_thread(stranger.send_garbage, self._target.runtime, injection.number)
            case Fault.OVERSIZE:
                return await _in_thread(stranger.send_oversize, self._target.runtime)
            case Fault.IMPOSTOR:
                return await self._meddle(injection)
            case Fault.RELOAD:
                return await self._reload(injection)
            case Fault.BROKEN_RELOAD:
                return await self._reloader.break_config()
            case Fault.LEAK:
                return await self._leak(injection)
            case fault if fault in LOAD_FAULTS:
                return await self._strike_in_load(injection)
            case _:
                return await self._order(injection)

    async def _signal_worker(self, injection: Injection, number: signal.Signals) -> float | None:
        for instances in self._with_bait(injection):
            for facts in await instances:
                pid = facts["pid"]  # 0 before its process is started
                if pid > 0 and parent_of(pid) == self._target.supervisor:
                    os.kill(pid, number)
                    return time.monotonic()
        return None

    async def _meddle(self, injection: Injection) -> float | None:
        for instances in self._with_bait(injection):
            jobs = [job for facts in await instances for job in facts["jobs"]]
            if jobs:
                return await _in_thread(stranger.meddle, self._target.runtime, jobs)
        return None

    def _with_bait(self, injection: Injection) -> Iterator[Awaitable[list[dict[str, Any]]]]:
        """Give the model something to do, then look at its instances again and again for a while."""
        seed = _SEEDS * injection.number + _ATTEMPTS
        prompt, text = ("!sleep 1", "") if BY_NAME[injection.model].obeys else max(known_answers(), key=_answer_length)
        self._ask(Request(injection.model, prompt, text, Manner.ORDERS, stream=False, seed=seed))
        until = time.monotonic() + _BAIT_S
        while time.monotonic() < until:
            yield self._instances(injection.model)

    async def _instances(self, model: str) -> list[dict[str, Any]]:
        await asyncio.sleep(_LOOK_S)
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, KeyError):
            return [facts for facts in (await self._observer.instances()).values() if facts["model"] == model]
        return []

    def _kill_gateway(self) -> float | None:
        pid = self._target.gateway()
        if pid is None:
            return None
        os.kill(pid, signal.SIGKILL)
        self.gateway_kills.append(time.monotonic())
        return self.gateway_kills[-1]

    async def _stop_supervisor(self) -> float:
        os.kill(self._target.supervisor, signal.SIGSTOP)
        try:
            await asyncio.sleep(self._freeze_s)
        finally:
            os.kill(self._target.supervisor, signal.SIGCONT)
        return time.monotonic()

    async def _keep_busy(self) -> float:
        command = [sys.executable, "-c", "while True: pass"]
        busy = [await asyncio.create_subprocess_exec(*command) for _ in range(_BUSY_PROCESSES)]
        try:
            await asyncio.sleep(_BUSY_S)
        finally:
            for process in busy:
                process.kill()
            await asyncio.gather(*(process.wait() for process in busy))
        return time.monotonic()

    async def _order(self, injection: Injection) -> float | None:
        """Send a prompt that is an order. Another fault may take it away before it is obeyed: then again."""
        prompt = f"!after 1 {_ORDERS[injection.fault]}"
        harmless = injection.fault in _HARMLESS
        expected = f"t0 {prompt}" if harmless else "t0"
        for attempt in range(_ATTEMPTS):
            seed = _SEEDS * injection.number + attempt
            request = Request(injection.model, prompt, expected, Manner.ORDERS, seed=seed, must_fail=not harmless)
            obeyed: asyncio.Future[float] = asyncio.get_running_loop().create_future()
            asked = self._ask(request, lambda obeyed=obeyed: obeyed.set_result(time.monotonic()))
            await asyncio.wait({asked, obeyed}, return_when=asyncio.FIRST_COMPLETED)
            if obeyed.done():
                if injection.fault in _DEADLY:
                    await asyncio.wait({asked})  # a probe must not be answered between the word and the deed
                return obeyed.result()
        return None

    async def _strike_in_load(self, injection: Injection) -> float | None:
        """Leave an order for the model's next load, and make it load."""
        file = BY_NAME[injection.model].order_file(self._target.config.parent)
        file.write_text(_ORDERS[injection.fault], encoding="utf-8")
        try:
            await self._signal_worker(injection, signal.SIGKILL)
            until = time.monotonic() + _IN_LOAD_S
            while time.monotonic() < until:
                if not file.exists():
                    return time.monotonic()
                await asyncio.sleep(_LOOK_S)
        finally:
            file.unlink(missing_ok=True)
        return None

    async def _leak(self, injection: Injection) -> float | None:
        """Make a worker grow over its model's limit; it must be replaced, and no answer may suffer."""
        obeyed_at = await self._order(injection)
        until = time.monotonic() + _LEAK_S
        while obeyed_at is not None:
            workers = await self._instances(injection.model)
            if workers and not any(_is_over_limit(worker["pid"]) for worker in workers):
                break
            if time.monotonic() > until:
                self.problems.append(f"{injection.model}: a worker over max_memory stays for {_LEAK_S:g} s")
                break
        return obeyed_at

    async def _reload(self, injection: Injection) -> float | None:
        """Give the server another edition of its configuration; return when that was, once it is seen."""
        asked_at, name = await self._reloader.change_config(injection.number)
        while (await perform(self._session, probe(name, "reloaded"))).ending is not Ending.SUCCESS:
            if time.monotonic() > asked_at + RECOVERY_LIMIT_S:
                self.problems.append(f"{name} is not there {RECOVERY_LIMIT_S:g} s after a reload")
                break
            await asyncio.sleep(_PROBE_PAUSE_S)
        return asked_at

    def _ask(self, request: Request, on_text: Callable[[], None] = lambda: None) -> asyncio.Task[Outcome]:
        asked = asyncio.create_task(perform(self._session, request, on_text))
        self._asked.add(asked)
        return asked


def _answer_length(chat: tuple[str, str]) -> int:
    return len(chat[1])


def _is_over_limit(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return pid > 0 and footprint(pid).rss_anon > MAX_MEMORY_MB * 1e6
    return False


async def _in_thread(action: Callable[..., None], *arguments: object) -> float:
    await asyncio.to_thread(action, *arguments)
    return time.monotonic()
