"""A real `infsup start` for tests: started as a user would, observed from outside, and gone without a trace."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import openai
import psutil
from openai.types.chat import ChatCompletionMessageParam

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "workers" / "models"
START_SECONDS = 30.0


class RealServer:
    """One running server. `url` is its base address, `pid` the supervisor's."""

    def __init__(self, config: str, directory: Path) -> None:
        """Write the configuration; nothing is started before `start`."""
        self.directory = directory
        self.runtime = directory / "run"
        self.config = directory / "infsup.toml"
        self.log = directory / "server.log"
        self.config.write_text(config, encoding="utf-8")
        self.url = ""
        self._clients: list[openai.OpenAI] = []
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._popen is not None
        return self._popen.pid

    def start(self, *arguments: str) -> None:
        """Start it on a free port and wait until it answers."""
        self._start(str(self.config), *arguments)

    def start_builtin(self) -> None:
        """Start it without a configuration."""
        self._start()

    def _start(self, *arguments: str) -> None:
        command = [*cli(), "start", *arguments, "--port", "0", "--runtime-dir", str(self.runtime)]
        with self.log.open("wb") as log:
            # What is learned about memory stays in this directory: tests must not teach the machine, nor one another.
            env = {**os.environ, "HOME": str(self.directory)}
            self._popen = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env)
        wait_for(self._address_known, START_SECONDS, lambda: f"no ready line in:\n{self.output()}")
        wait_for(lambda: self.get("/health")[0] == 200, START_SECONDS, self.output)

    def _address_known(self) -> bool:
        assert self._popen is not None
        if self._popen.poll() is not None:
            raise AssertionError(f"the server ended with {self._popen.returncode}:\n{self.output()}")
        for line in self.output().splitlines():
            if "ready: " in line:
                self.url = line.split("ready: ")[1].split("/v1")[0]
                return True
        return False

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def client(self, timeout: float = 60.0) -> openai.OpenAI:
        """Return a client that tries once; it is closed with the server."""
        client = openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=timeout)
        self._clients.append(client)
        return client

    def get(self, path: str) -> tuple[int, Any]:
        return self.request("GET", path)

    def request(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Return status and decoded JSON."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")

    def instances(self, model: str = "") -> dict[str, dict[str, Any]]:
        """Return the instances by id, of one model or all."""
        found: dict[str, dict[str, Any]] = self.get("/")[1]["pool"]["instances"]
        return {name: one for name, one in found.items() if not model or one["model"] == model}

    def wait_idle(self, model: str) -> dict[str, Any]:
        """Wait until the model has an idle instance; return it."""
        found: list[dict[str, Any]] = []

        def idle() -> bool:
            found[:] = [one for one in self.instances(model).values() if one["state"] == "idle"]
            return bool(found)

        wait_for(idle, START_SECONDS, self.output)
        return found[0]

    def infsup(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command against this server."""
        return run_cli(*arguments, "--runtime-dir", str(self.runtime))

    def processes(self) -> list[psutil.Process]:
        """Return the supervisor and all processes below it."""
        supervisor = psutil.Process(self.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def stop(self) -> int:
        """SIGTERM, wait, and check that no process is left. Returns the exit status."""
        assert self._popen is not None
        for client in self._clients:
            client.close()
        if self._popen.poll() is not None:
            return self._popen.returncode
        processes = self.processes()
        self._popen.send_signal(signal.SIGTERM)
        try:
            self._popen.wait(20)
        except subprocess.TimeoutExpired:
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            raise AssertionError(f"the server did not stop:\n{self.output()}") from None
        assert_gone(processes)
        return self._popen.returncode

    def kill(self) -> None:
        """SIGKILL for the supervisor alone."""
        os.kill(self.pid, signal.SIGKILL)
        assert self._popen is not None
        self._popen.wait(10)


def say(text: str) -> list[ChatCompletionMessageParam]:
    """Return a chat of one user message."""
    return [{"role": "user", "content": text}]


def cli() -> list[str]:
    """Return the command line as installed next to this interpreter."""
    return [str(Path(sys.executable).parent / "infsup")]


def run_cli(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `infsup` and return what it printed."""
    return subprocess.run([*cli(), *arguments], capture_output=True, text=True, timeout=30, check=False)


def wait_for(condition: Callable[[], bool], seconds: float, describe: Callable[[], str] = lambda: "") -> float:
    """Wait until the condition holds; return the seconds it took. The state of other processes sends no event."""
    begun = time.monotonic()
    while True:
        with contextlib.suppress(OSError):
            if condition():
                return time.monotonic() - begun
        if time.monotonic() - begun > seconds:
            raise AssertionError(f"not within {seconds} s: {describe()}")
        time.sleep(0.01)


def assert_gone(processes: list[psutil.Process], seconds: float = 2.0) -> None:
    """Check that all of these have ended within so many seconds."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    left = [process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert not left, f"still running: {left}"


@contextlib.contextmanager
def serve(config: str, directory: Path, *arguments: str) -> Generator[RealServer]:
    """Run a server for the length of a block; it must stop cleanly."""
    server = RealServer(config, directory)
    server.start(*arguments)
    try:
        yield server
    except BaseException:
        print(server.output())
        raise
    finally:
        status = server.stop()
    assert status in {0, -signal.SIGKILL}, server.output()
