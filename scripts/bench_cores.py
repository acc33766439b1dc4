"""Two models of llama.cpp at once on few cores: what infsup's leases of cores are worth.

Starts a real `infsup start` with two models and measures each alone and both together: with half of the cores each
(disjoint leases), and with all cores each (shared, so that threads wait passively). For comparison, two processes with
plain llama-cpp-python, each with all cores and threads that spin, as one gets without a supervisor. A random model is
made for it in a temporary folder. Figures depend on the machine and on what else runs; nothing here passes or fails.

    .venv/bin/python scripts/bench_cores.py [--seconds 20] [--layers 12] [--json]
"""

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
from bench_overhead import free_port, started, wait_until_ready

NAMES = ("one", "two")
TOKENS = 32
"""A request's length: short, so that the last one of a measurement does not last."""
LIMIT_S = 600.0
WARM_UP_S = 2.0
SPINNING = {"OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": "infinite"}


@dataclass(frozen=True)
class Figures:
    """Tokens per second of each model alone and beside the other; the cores that the threads of each may run on."""

    way: str
    threads: int
    alone: tuple[float, float]
    together: tuple[float, float]
    cores: tuple[str, str]

    @property
    def kept(self) -> float:
        """The share of its speed that a model keeps beside the other, on average."""
        return sum(self.together) / sum(self.alone) if sum(self.alone) else 0.0


def config(file: Path, threads: int) -> str:
    """Return a configuration of two models of this file."""
    return "\n".join(
        f'[models.{name}]\ntask = "text-completion"\nengine = "llama-cpp"\nfile = "{file}"\n'
        f"min_instances = 1\nttl = -1\n"
        f"device = {{ gpu = false, cpu_threads = {threads} }}\ndefaults = {{ temperature = 0 }}\n"
        for name in NAMES
    )


async def speed(session: aiohttp.ClientSession, model: str, seconds: float) -> float:
    """Ask for answers one after another for so long; return tokens per second."""
    tokens, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        body = {"model": model, "prompt": "once upon a time", "max_tokens": TOKENS}
        async with session.post("/v1/completions", json=body) as answer:
            found = await answer.json()
            if answer.status != 200:
                raise SystemExit(f"{model}: {found}")
        tokens += found["usage"]["completion_tokens"]
    return tokens / (time.perf_counter() - began)


async def measure(port: int, server: "subprocess.Popen[bytes]", way: str, threads: int, seconds: float) -> Figures:
    """Measure a server that starts."""
    timeout = aiohttp.ClientTimeout(total=LIMIT_S)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", timeout=timeout) as session:
        await wait_until_ready(session, server)
        for name in NAMES:
            await speed(session, name, WARM_UP_S)
        alone = [await speed(session, name, seconds) for name in NAMES]
        together = await asyncio.gather(*(speed(session, name, seconds) for name in NAMES))
        async with session.get("/") as answer:
            instances = (await answer.json())["pool"]["instances"].values()
    pids = {one["model"]: int(one["pid"]) for one in instances}
    cores = [allowed_cores(pids[name]) for name in NAMES]
    return Figures(way, threads, (alone[0], alone[1]), (together[0], together[1]), (cores[0], cores[1]))


def allowed_cores(pid: int) -> str:
    """Return the cores that the threads of a process may run on, such as "0-1"; of several sets all, with a slash."""
    found: set[str] = set()
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            lines = status.read_text().splitlines()
            found |= {line.split(":")[1].strip() for line in lines if line.startswith("Cpus_allowed_list:")}
    return "/".join(sorted(found))


def with_infsup(file: Path, way: str, threads: int, seconds: float) -> Figures:
    """Start infsup with two models of so many threads and measure it."""
    with tempfile.TemporaryDirectory(prefix="infsup-bench-") as name:
        folder, port = Path(name), free_port()
        (folder / "cores.toml").write_text(config(file, threads))
        infsup = str(Path(sys.executable).with_name("infsup"))
        command = [infsup, "start", str(folder / "cores.toml"), "--port", str(port), "--runtime-dir", str(folder / "r")]
        with started(command, folder / "log") as server:
            return asyncio.run(measure(port, server, way, threads, seconds))


def plain(file: Path, threads: int, seconds: float) -> Figures:
    """Measure plain llama-cpp-python, one process and then two at once."""
    alone = run_plain(file, threads, seconds, 1)[0]
    together = run_plain(file, threads, seconds, 2)
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    way = "two plain processes, spinning"
    return Figures(way, threads, (alone, alone), (together[0], together[1]), (cores, cores))


def run_plain(file: Path, threads: int, seconds: float, count: int) -> list[float]:
    """Run so many processes that generate at the same time; return tokens per second of each."""
    command = [sys.executable, __file__, "--plain", str(file), "--threads", str(threads), "--seconds", str(seconds)]
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env={**os.environ, **SPINNING, "OMP_NUM_THREADS": str(threads)},
                )
            )
            for _ in range(count)
        ]
        for process in processes:
            stack.callback(process.kill)
        for process in processes:
            _expect_line(process)
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return [float(_expect_line(process)) for process in processes]


def _expect_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit("a plain process ended too early")
    return line


def be_plain(file: str, threads: int, seconds: float) -> None:
    """Be a plain process: load, say so, wait for a line, generate, print tokens per second."""
    from llama_cpp import Llama  # noqa: PLC0415 - only these processes need it

    llama: Any = Llama(file, n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False)
    prompt: list[int] = llama.tokenize(b"once upon a time")
    next(llama.generate(prompt, temp=0.0))
    print("ready", flush=True)
    sys.stdin.readline()
    began, tokens = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for made, _ in enumerate(llama.generate(prompt, temp=0.0), start=1):
            tokens += 1
            if made == TOKENS or time.perf_counter() - began >= seconds:
                break
    print(tokens / (time.perf_counter() - began), flush=True)


def table(figures: list[Figures], parameters: int, megabytes: float, cores: int) -> str:
    """Return the figures for people."""
    head = f"{'':<44}{'threads':>8}{'alone':>16}{'together':>16}{'kept':>8}  cores"
    lines = [
        f"{parameters / 1e6:.0f} million parameters, {megabytes:.0f} MB; {cores} cores; tokens/s of each model",
        head,
    ]
    for one in figures:
        alone, together = ("  ".join(f"{value:.1f}" for value in pair) for pair in (one.alone, one.together))
        lines.append(
            f"{one.way:<44}{one.threads:>8}{alone:>16}{together:>16}{one.kept:>8.0%}  {' and '.join(one.cores)}"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each measurement")
    parser.add_argument("--layers", type=int, default=12, help="size of the random model: 7 million parameters each")
    parser.add_argument("--file", type=Path, help="a GGUF file to use instead of a random model")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--plain", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        be_plain(options.plain, options.threads, options.seconds)
        return
    from random_gguf import write_random_model  # noqa: PLC0415 - the plain processes need no numpy of their own

    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="infsup-model-") as folder:
        file = options.file.resolve() if options.file else Path(folder, "random.gguf")
        parameters = 0 if options.file else write_random_model(file, options.layers)
        figures = [
            with_infsup(file, "infsup, half of the cores each", max(1, cores // 2), options.seconds),
            with_infsup(file, "infsup, all cores each (passive waiting)", cores, options.seconds),
            plain(file, cores, options.seconds),
        ]
        megabytes = file.stat().st_size / 1e6
    if options.json:
        print(json.dumps({"parameters": parameters, "cores": cores, "figures": [asdict(one) for one in figures]}))
    else:
        print(table(figures, parameters, megabytes, cores))


if __name__ == "__main__":
    main()
