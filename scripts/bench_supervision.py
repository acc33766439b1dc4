"""What deaths, swaps and idle ends cost: how soon they are noticed, when the next answer comes, what crashes leave.

Starts a real `infsup start` with models of the `fault` engine and kills their workers. Figures depend on the machine
and on what else runs; nothing here passes or fails.

    .venv/bin/python scripts/bench_supervision.py [--kills 20] [--crashes 1000] [--ttls 5] [--json]
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
from bench_overhead import free_port, started, status_mb, wait_until_ready

from infsup.protocol.client import Client

LOAD_DELAY_S = 0.5
TTL_S = 1.0
LIMIT_S = 60.0


def model(name: str, settings: str = "", *, load_s: float = 0.0, gpu: bool = False) -> str:
    """Return the definition of a model of the fault engine."""
    device, options = f"{{ gpu = {str(gpu).lower()} }}", f"{{ load_delay = {load_s} }}"
    lines = ['task = "text-completion"', 'engine = "fault"', f"device = {device}", f"options = {options}", settings]
    return "\n".join([f"[models.{name}]", *lines, ""])


CONFIG = "\n".join(
    [
        "[pool]\ngpu_slots = 1\n",
        model("stream", "min_instances = 1\nmax_restarts = -1"),
        model("loads", "min_instances = 1\nmax_restarts = -1\nretries = 5", load_s=LOAD_DELAY_S),
        model("cold", "ttl = 0", load_s=LOAD_DELAY_S),
        model("idles", f"ttl = {TTL_S}"),
        model("swap-a", load_s=LOAD_DELAY_S, gpu=True),
        model("swap-b", load_s=LOAD_DELAY_S, gpu=True),
    ]
)


@dataclass(frozen=True)
class Spread:
    """Seconds."""

    p50: float
    longest: float


@dataclass(frozen=True)
class Crashes:
    """`count` crashes in a row. Memory in megabytes (10^6 bytes); `first` is measured after a tenth of them."""

    count: int
    seconds: float
    rss_anon_first: float
    rss_anon_last: float
    descriptors_first: int
    descriptors_last: int


@dataclass(frozen=True)
class Figures:
    """Everything that is measured."""

    death_to_client: Spread
    death_to_record_busy: Spread
    death_to_record_idle: Spread
    answer_cold: Spread
    answer_after_crash: Spread
    answer_after_swap: Spread
    ttl_late: Spread
    crashes: Crashes


class Bench:
    """One running server, asked over HTTP and over its own protocol."""

    def __init__(self, session: aiohttp.ClientSession, control: Client, supervisor: int) -> None:
        """Both must be connected already."""
        self._session = session
        self._control = control
        self._supervisor = supervisor
        self._asked = 0

    async def run(self, kills: int, crashes: int, ttls: int) -> Figures:
        """Measure everything, one after the other."""
        streams = [await self.kill_streaming() for _ in range(kills)]
        return Figures(
            death_to_client=spread([client for client, _ in streams]),
            death_to_record_busy=spread([record for _, record in streams]),
            death_to_record_idle=spread([await self.kill_idle() for _ in range(kills)]),
            answer_cold=spread([await self.time_to_answer("cold") for _ in range(kills)]),
            answer_after_crash=spread([await self.answer_after_crash() for _ in range(kills)]),
            answer_after_swap=spread(await self.swap(kills)),
            ttl_late=spread([await self.ttl_lateness() for _ in range(ttls)]),
            crashes=await self.crash_in_a_row(crashes),
        )

    async def kill_streaming(self) -> tuple[float, float]:
        """Kill a worker mid-stream; return the seconds until its client has the error, and until it is recorded."""
        killed = wall = 0.0
        pid = (await self._idle("stream"))["pid"]
        async with self._session.post(
            "/v1/completions", json=self._body("stream", "!tokens 100000 0.01", stream=True)
        ) as answer:
            async for line in answer.content:
                if not killed and b"t3" in line:
                    killed, wall = time.perf_counter(), time.time()
                    os.kill(pid, signal.SIGKILL)
                elif b'"error"' in line:
                    return time.perf_counter() - killed, await self._recorded_at(pid) - wall
        raise SystemExit("a stream that was killed ended without an error")

    async def kill_idle(self) -> float:
        """Kill an idle worker that has served; return the seconds until the supervisor records the death."""
        await self._ask("stream", "hello")
        pid = (await self._idle("stream"))["pid"]
        wall = time.time()
        os.kill(pid, signal.SIGKILL)
        return await self._recorded_at(pid) - wall

    async def answer_after_crash(self) -> float:
        """Kill a worker that takes `LOAD_DELAY_S` to load, ask at once; return the seconds until the answer."""
        os.kill((await self._idle("loads"))["pid"], signal.SIGKILL)
        return await self.time_to_answer("loads")

    async def swap(self, times: int) -> list[float]:
        """Ask two models in turn that need the one GPU slot; return the seconds that each answer takes."""
        await self._ask("swap-a", "hello")
        answers: list[float] = []
        for number in range(times):
            leaving, coming = ("swap-a", "swap-b") if number % 2 == 0 else ("swap-b", "swap-a")
            await self._idle(leaving)
            answers.append(await self.time_to_answer(coming))
        return answers

    async def time_to_answer(self, model: str) -> float:
        """Return the seconds that one answer takes. For `cold`, that its worker has to start; it ends afterwards."""
        await self._wait(lambda found: model != "cold" or not found, model)
        began = time.perf_counter()
        await self._ask(model, "hello")
        return time.perf_counter() - began

    async def ttl_lateness(self) -> float:
        """Return how many seconds after its TTL an idle worker's process is gone."""
        await self._ask("idles", "hello")
        answered = time.perf_counter()
        pid = (await self._idle("idles"))["pid"]
        while Path(f"/proc/{pid}").exists():  # noqa: ASYNC110, ASYNC240 - another's process sets no event
            await asyncio.sleep(0.002)
        return time.perf_counter() - answered - TTL_S

    async def crash_in_a_row(self, count: int) -> Crashes:
        """Let a worker serve a job and die of the next, `count` times.

        Had it served none, the next start would wait. Each deadly job is another, or it would be refused as poison.
        """
        began, first = time.perf_counter(), (0.0, 0)
        for number in range(count):
            await self._ask("stream", "hello")
            status = await self._ask("stream", "!after 1 !exit 9", stream=True)
            if status != "worker_crashed":
                raise SystemExit(f"crash {number}: expected worker_crashed, got {status!r}")
            if number == count // 10:
                first = await self._held()
        seconds, last = time.perf_counter() - began, await self._held()
        return Crashes(count, seconds, first[0], last[0], first[1], last[1])

    async def _held(self) -> tuple[float, int]:
        await self._idle("stream")  # a process that starts, or is not reaped yet, has descriptors of its own
        return held_by(self._supervisor)

    def _body(self, model: str, prompt: str, *, stream: bool) -> dict[str, Any]:
        self._asked += 1
        return {"model": model, "prompt": prompt, "stream": stream, "seed": self._asked}

    async def _ask(self, model: str, prompt: str, *, stream: bool = False) -> str:
        """Ask and return the code of the error, if one came."""
        async with self._session.post("/v1/completions", json=self._body(model, prompt, stream=stream)) as answer:
            text = await answer.text()
        errors = [line for line in text.replace("data: ", "").splitlines() if line.startswith('{"error"')]
        return json.loads(errors[-1])["error"]["code"] if errors else ""

    async def _idle(self, model: str) -> dict[str, Any]:
        return (await self._wait(lambda found: any(one["state"] == "idle" for one in found), model))[0]

    async def _wait(self, condition: Callable[[list[dict[str, Any]]], bool], model: str) -> list[dict[str, Any]]:
        """Wait until the instances of a model are as wanted; return them."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                instances = await self._control.control("instances")
                found = [one for one in instances if one["model"] == model]
                if condition(found):
                    return found
                await asyncio.sleep(0.005)

    async def _recorded_at(self, pid: int) -> float:
        """Return when (wall clock) the death of this process was recorded."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                for death in await self._control.control("deaths"):
                    if death["pid"] == pid:
                        return float(death["at"])
                await asyncio.sleep(0.005)


def held_by(pid: int) -> tuple[float, int]:
    """Return the private memory of a process in megabytes, and how many descriptors it has."""
    return status_mb(pid, "RssAnon"), sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def spread(seconds: list[float]) -> Spread:
    """Return the median and the longest."""
    return Spread(median(seconds), max(seconds))


def more_than(seconds: float, spread: Spread) -> Spread:
    """Return by how much a spread exceeds this."""
    return Spread(spread.p50 - seconds, spread.longest - seconds)


async def measure(port: int, supervisor: Any, runtime: Path, options: argparse.Namespace) -> Figures:
    """Connect to a server that starts, and measure."""
    timeout = aiohttp.ClientTimeout(total=LIMIT_S)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", timeout=timeout) as session:
        await wait_until_ready(session, supervisor)
        async with Client(runtime) as control:
            return await Bench(session, control, supervisor.pid).run(options.kills, options.crashes, options.ttls)


def run_server(options: argparse.Namespace) -> Figures:
    """Start infsup in a temporary folder and measure it."""
    with tempfile.TemporaryDirectory(prefix="infsup-bench-") as name, contextlib.ExitStack() as stack:
        folder, port = Path(name), free_port()
        (folder / "bench.toml").write_text(CONFIG)
        infsup, runtime = str(Path(sys.executable).with_name("infsup")), folder / "run"
        command = [infsup, "start", str(folder / "bench.toml"), "--port", str(port), "--runtime-dir", str(runtime)]
        server = stack.enter_context(started(command, folder / "log"))
        return asyncio.run(measure(port, server, runtime, options))


def table(figures: Figures) -> str:
    """Return the figures for people."""

    def row(name: str, spread: Spread, target: str, scale: float = 1000.0, unit: str = "ms") -> str:
        return f"{name:<52}{spread.p50 * scale:9.1f}{spread.longest * scale:10.1f} {unit}  {target}"

    cold = figures.answer_cold.p50
    late, swapped = figures.answer_after_crash, figures.answer_after_swap
    crashes = figures.crashes
    return "\n".join(
        [
            f"{'':<52}{'p50':>9}{'longest':>10}     target",
            row("SIGKILL of a streaming worker → error at the client", figures.death_to_client, "50 (noticed)"),
            row("SIGKILL of a streaming worker → in `deaths`", figures.death_to_record_busy, "50 (noticed)"),
            row("SIGKILL of an idle worker → in `deaths`", figures.death_to_record_idle, "50 (noticed)"),
            row(f"cold answer (start, load {LOAD_DELAY_S:g} s)", figures.answer_cold, ""),
            row("answer after a crash, the same model", late, ""),
            row("  more than the cold answer's median", more_than(cold, late), "300"),
            row("answer after a swap A → B", swapped, ""),
            row("  more than the cold answer's median", more_than(cold, swapped), "150"),
            row(f"end of a worker after its TTL of {TTL_S:g} s", figures.ttl_late, "1000 late"),
            "",
            (
                f"{crashes.count} crashes in a row in {crashes.seconds:.0f} s; the supervisor after a tenth of them "
                f"and at the end: RssAnon {crashes.rss_anon_first:.1f} → {crashes.rss_anon_last:.1f} MB, "
                f"descriptors {crashes.descriptors_first} → {crashes.descriptors_last} (target: no growth)"
            ),
        ]
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="workers killed for each figure")
    parser.add_argument("--crashes", type=int, default=1000, help="crashes in a row")
    parser.add_argument("--ttls", type=int, default=5, help="workers whose end by TTL is timed")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    figures = run_server(options)
    print(json.dumps(asdict(figures)) if options.json else table(figures))


if __name__ == "__main__":
    main()
