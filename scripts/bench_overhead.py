"""What infsup itself costs: latency and rate of HTTP -> worker -> HTTP with an echo model, memory and CPU when idle.

Starts a real `infsup start` with the `fault` engine, and, for comparison in the same run, a bare aiohttp server that
answers the same bytes. Figures depend on the machine and on what else runs; nothing here passes or fails.

    .venv/bin/python scripts/bench_overhead.py [--requests 1000] [--idle 10] [--json]
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles

import aiohttp
import psutil
from aiohttp import web

CONFIG = """
[models.echo]
task = "text-completion"
engine = "fault"
min_instances = 1
ttl = -1
"""
BODY = {"model": "echo", "messages": [{"role": "user", "content": "hello there"}]}
STREAM_BODY = {**BODY, "stream": True}
HEAVY = ("numpy", "onnxruntime", "tokenizers", "torch", "llama_cpp", "transformers")
READY_TIMEOUT_S = 60.0
CONCURRENCY = (8, 32)


@dataclass(frozen=True)
class Latency:
    """Milliseconds."""

    p50: float
    p99: float


@dataclass(frozen=True)
class Traffic:
    """One server under load: latencies one at a time, requests per second with several at once."""

    chat: Latency
    first_chunk: Latency
    rates: dict[int, float]


@dataclass(frozen=True)
class Idle:
    """One process at rest. Memory in megabytes (10^6 bytes), `cpu` in percent of one core."""

    role: str
    pid: int
    rss: float
    rss_anon: float
    cpu: float
    heavy: list[str]


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def started(command: list[str], log: Path) -> Generator[subprocess.Popen[bytes]]:
    """Run a server until the end of the block; then SIGTERM, and SIGKILL after 10 s. On an error its log is shown."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield process
        except BaseException:
            sys.stderr.write(log.read_text(errors="replace"))
            raise
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


async def wait_until_ready(session: aiohttp.ClientSession, process: subprocess.Popen[bytes]) -> float:
    """Return the seconds until GET /health is 200. Raises `TimeoutError`."""
    began = time.perf_counter()
    while time.perf_counter() - began < READY_TIMEOUT_S and process.poll() is None:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get("/health") as answer:
                if answer.status == 200:
                    return time.perf_counter() - began
        await asyncio.sleep(0.02)
    raise TimeoutError(f"no /health from {process.args}")


async def whole_answer(session: aiohttp.ClientSession) -> None:
    """Ask once and read the answer."""
    async with session.post("/v1/chat/completions", json=BODY) as answer:
        if answer.status != 200:
            raise SystemExit(f"status {answer.status}: {await answer.text()}")
        await answer.read()


async def first_chunk(session: aiohttp.ClientSession) -> float:
    """Return the seconds until the first event that carries text; the rest is read, so that the connection stays."""
    began, first = time.perf_counter(), 0.0
    async with session.post("/v1/chat/completions", json=STREAM_BODY) as answer:
        async for line in answer.content:
            if not first and line.startswith(b"data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                first = time.perf_counter() - began
    if not first:
        raise SystemExit("a stream without text")
    return first


async def timed(ask: Awaitable[None]) -> float:
    """Return the seconds that it takes."""
    began = time.perf_counter()
    await ask
    return time.perf_counter() - began


async def latency(ask: Callable[[], Awaitable[float]], requests: int) -> Latency:
    """Ask one at a time, on the session's one connection."""
    for _ in range(min(50, requests)):
        await ask()
    cuts = quantiles([await ask() for _ in range(requests)], n=100)
    return Latency(cuts[49] * 1000, cuts[98] * 1000)


async def rate(session: aiohttp.ClientSession, at_once: int, requests: int) -> float:
    """Return whole answers per second with `at_once` clients, each with a connection of its own."""

    async def client(count: int) -> None:
        for _ in range(count):
            await whole_answer(session)

    each = max(1, requests // at_once)
    began = time.perf_counter()
    await asyncio.gather(*(client(each) for _ in range(at_once)))
    return each * at_once / (time.perf_counter() - began)


async def traffic(port: int, process: subprocess.Popen[bytes], requests: int) -> tuple[float, Traffic]:
    """Measure one server as soon as it is up; return the seconds that took, and the figures."""
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{port}",
        connector=aiohttp.TCPConnector(limit=max(CONCURRENCY)),
        timeout=aiohttp.ClientTimeout(total=READY_TIMEOUT_S),
    ) as session:
        ready = await wait_until_ready(session, process)
        chat = await latency(lambda: timed(whole_answer(session)), requests)
        chunk = await latency(lambda: first_chunk(session), requests)
        rates = {at_once: await rate(session, at_once, requests) for at_once in CONCURRENCY}
    return ready, Traffic(chat, chunk, rates)


def status_mb(pid: int, field: str) -> float:
    """Return a memory field of /proc/PID/status in megabytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit(f"/proc/{pid}/status has no {field}: this benchmark needs Linux >= 4.5")


def role_of(process: psutil.Process) -> str:
    """Name a child of the supervisor by the module that it runs."""
    command = process.cmdline()
    return next((part.removeprefix("infsup.") for part in command if part.startswith("infsup.")), command[0])


def idle(supervisor: int, seconds: float) -> list[Idle]:
    """Watch the supervisor and its children without traffic."""
    processes = [(psutil.Process(supervisor), "supervisor")]
    processes += [(child, role_of(child)) for child in processes[0][0].children(recursive=True)]
    before = [sum(process.cpu_times()[:2]) for process, _ in processes]
    time.sleep(seconds)
    found: list[Idle] = []
    for (process, role), then in zip(processes, before, strict=True):
        cpu = 100 * (sum(process.cpu_times()[:2]) - then) / seconds
        maps = Path(f"/proc/{process.pid}/maps").read_text()
        heavy = [name for name in HEAVY if f"/{name}/" in maps]
        rss, anon = status_mb(process.pid, "VmRSS"), status_mb(process.pid, "RssAnon")
        found.append(Idle(role, process.pid, rss, anon, cpu, heavy))
    return found


def measure_infsup(requests: int, idle_s: float) -> tuple[float, Traffic, list[Idle]]:
    """Start infsup in a temporary folder; return seconds to /health, figures under load and at rest."""
    with tempfile.TemporaryDirectory(prefix="infsup-bench-") as name:
        folder, port = Path(name), free_port()
        config = folder / "echo.toml"
        config.write_text(CONFIG)
        infsup = str(Path(sys.executable).with_name("infsup"))
        command = [infsup, "start", str(config), "--port", str(port), "--runtime-dir", str(folder / "run")]
        with started(command, folder / "log") as server:
            ready, measured = asyncio.run(traffic(port, server, requests))
            return ready, measured, idle(server.pid, idle_s)


def measure_bare(requests: int) -> Traffic:
    """Measure a server of the same library that does nothing else."""
    with tempfile.TemporaryDirectory(prefix="infsup-bench-") as name:
        port = free_port()
        command = [sys.executable, os.fspath(Path(__file__)), "--serve-bare", str(port)]
        with started(command, Path(name) / "log") as server:
            return asyncio.run(traffic(port, server, requests))[1]


def serve_bare(port: int) -> None:
    """Be the server to compare with: parse JSON, answer JSON or two server-sent events."""

    async def health(_: web.Request) -> web.Response:
        return web.Response()

    async def chat(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        text = body["messages"][-1]["content"]
        if not body.get("stream"):
            return web.json_response({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]})
        await response.write(f"data: {chunk}\n\ndata: [DONE]\n\n".encode())
        return response

    app = web.Application()
    app.add_routes([web.get("/health", health), web.post("/v1/chat/completions", chat)])
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


def table(ready: float, ours: Traffic, bare: Traffic, processes: list[Idle]) -> str:
    """Lay the figures out, each with its target (if it has one) and the bare server's."""

    def row(name: str, value: float, unit: str, target: str = "", other: float | None = None) -> str:
        comparison = "" if other is None else f"{other:9.2f}  x{value / other:.2f}"
        return f"{name:<34}{value:9.2f} {unit:<5}{target:<12}{comparison}"

    both = [process for process in processes if process.role in ("supervisor", "gateway")]
    lines = [
        f"{'':<34}{'infsup':>9} {'':<5}{'target':<12}{'bare':>9}  ratio",
        row("start until /health", ready, "s", "< 3"),
        row("chat, one at a time, p50", ours.chat.p50, "ms", "< 3", bare.chat.p50),
        row("chat, one at a time, p99", ours.chat.p99, "ms", "", bare.chat.p99),
        row("stream, first text, p50", ours.first_chunk.p50, "ms", "", bare.first_chunk.p50),
        row("stream, first text, p99", ours.first_chunk.p99, "ms", "", bare.first_chunk.p99),
        *(row(f"chat, {n} at once", ours.rates[n], "/s", "", bare.rates[n]) for n in CONCURRENCY),
        row("idle RSS, supervisor + gateway", sum(process.rss for process in both), "MB", "< 110"),
        row("idle RssAnon, the same", sum(process.rss_anon for process in both), "MB", "< 80"),
        row("idle CPU, the same", sum(process.cpu for process in both), "%", "< 1"),
        "",
    ]
    for process in processes:
        maps = ", ".join(process.heavy) or "no heavy library"
        memory = f"RSS {process.rss:6.1f} MB, RssAnon {process.rss_anon:6.1f} MB, {process.cpu:4.2f} % CPU"
        lines.append(f"{process.role:<12} pid {process.pid:<8} {memory}; maps {maps}")
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000, help="for each figure under load")
    parser.add_argument("--idle", type=float, default=10.0, help="seconds to watch the idle processes")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--serve-bare", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_bare:
        serve_bare(options.serve_bare)
        return
    bare = measure_bare(options.requests)
    ready, ours, processes = measure_infsup(options.requests, options.idle)
    if options.json:
        idle_rows = [asdict(process) for process in processes]
        print(json.dumps({"ready_s": ready, "infsup": asdict(ours), "bare": asdict(bare), "idle": idle_rows}))
    else:
        print(table(ready, ours, bare, processes))


if __name__ == "__main__":
    main()
