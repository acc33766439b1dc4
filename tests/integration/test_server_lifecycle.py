"""The server's own life: start, commands, TTL, stop, and what happens when processes are killed."""

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest

from .real_server import RealServer, assert_gone, run_cli, say, serve, wait_for


class Stream(threading.Thread):
    """Reads a stream in the background and keeps what came and how it ended."""

    def __init__(self, client: openai.OpenAI, model: str, prompt: str) -> None:
        super().__init__()
        self._client, self._model, self._prompt = client, model, prompt
        self.text = ""
        self.error: openai.APIError | None = None
        self.ended_at = 0.0
        self.started = threading.Event()

    def run(self) -> None:
        try:
            stream = self._client.chat.completions.create(model=self._model, messages=say(self._prompt), stream=True)
            for chunk in stream:
                self.text += chunk.choices[0].delta.content or ""
                if self.text:
                    self.started.set()
        except openai.APIError as error:
            self.error = error
        self.ended_at = time.monotonic()


def test_worker_killed_mid_stream_fails_that_stream_only(faults: RealServer) -> None:
    victim = Stream(faults.client(), "echo", "!tokens 500 0.01")
    witness = Stream(faults.client(), "other", "!tokens 150 0.01")
    for stream in (victim, witness):
        stream.start()
        assert stream.started.wait(10)
    pid = next(iter(faults.instances("echo").values()))["pid"]
    killed_at = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    victim.join(5)
    assert victim.error is not None
    assert victim.error.code == "worker_crashed"
    assert victim.ended_at - killed_at < 1
    answer = faults.client().chat.completions.create(model="echo", messages=say("back again"))
    assert answer.choices[0].message.content == "back again"
    assert next(iter(faults.instances("echo").values()))["pid"] != pid
    witness.join(10)
    assert witness.error is None
    assert witness.text.split()[-1] == "t149"


@pytest.mark.parametrize("order", ["!segfault", "!abort", "!exit 3", "!crash", "!oom"])
def test_worker_dies_of_a_job_gives_502_and_the_next_is_served(faults: RealServer, order: str) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        faults.client().chat.completions.create(model="echo", messages=say(f"!after 1 {order}"), stream=False)
    assert caught.value.status_code == 502
    assert caught.value.code == "worker_crashed"
    assert faults.client().chat.completions.create(model="echo", messages=say("next")).choices
    assert faults.infsup("deaths", "--json").returncode == 0


def test_garbage_from_a_worker_is_dropped_and_the_answer_arrives(faults: RealServer) -> None:
    answer = faults.client().chat.completions.create(model="echo", messages=say("!garbage"))
    assert answer.choices[0].message.content


def test_worker_killed_before_the_first_byte_is_retried(faults: RealServer) -> None:
    results: list[str | None] = []

    def ask() -> None:
        answer = faults.client().chat.completions.create(model="other", messages=say("!sleep 1"))
        results.append(answer.choices[0].finish_reason)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_for(lambda: any(one["jobs"] for one in faults.instances("other").values()), 5)
    os.kill(next(iter(faults.instances("other").values()))["pid"], signal.SIGKILL)
    thread.join(15)
    assert results == ["stop"]


def test_gateway_killed_is_replaced_on_the_same_port(faults: RealServer) -> None:
    gateway = next(process for process in faults.processes() if "infsup.gateway" in " ".join(process.cmdline()))
    gateway.kill()
    wait_for(lambda: faults.get("/health")[0] == 200, 15)
    assert faults.client().chat.completions.create(model="echo", messages=say("hello")).choices


def test_gateway_stopped_is_replaced_and_what_waits_at_its_socket_is_answered(faults: RealServer) -> None:
    gateway = next(process for process in faults.processes() if "infsup.gateway" in " ".join(process.cmdline()))
    gateway.suspend()
    answer = faults.client(timeout=60).chat.completions.create(model="echo", messages=say("still here"))
    assert answer.choices[0].message.content == "still here"
    assert "gateway-1: stalled: nothing heard" in faults.output()


def test_supervisor_killed_leaves_no_process(tmp_path: Path) -> None:
    server = RealServer('[models.m]\ntask = "text-completion"\nengine = "fault"\nmin_instances = 1\n', tmp_path)
    server.start()
    server.wait_idle("m")
    processes = server.processes()
    assert len(processes) >= 3
    server.kill()
    assert_gone(processes[1:], 2.0)
    # What it left in the runtime directory does not hinder the next one.
    server.start()
    assert server.stop() == 0


def test_commands_on_a_running_server(faults: RealServer) -> None:
    status = json.loads(faults.infsup("status", "--json").stdout)
    assert status["server"]["pid"] == faults.pid
    assert status["store"]["echo"]["status"] == "ready"
    instances = json.loads(faults.infsup("ps", "--json").stdout)
    assert {"id", "model", "engine", "state", "device", "pid", "cores", "jobs", "rssAnon"} <= set(instances[0])
    assert "echo" in faults.infsup("status").stdout
    assert "echo" in faults.infsup("ps").stdout


def test_commands_without_a_server_say_so(tmp_path: Path) -> None:
    for command in ("status", "ps", "stop"):
        result = run_cli(command, "--runtime-dir", str(tmp_path))
        assert result.returncode == 1
        assert "no server is running" in result.stderr
        assert "Traceback" not in result.stderr


def test_second_start_and_port_in_use_are_clear_errors(faults: RealServer, tmp_path: Path) -> None:
    again = run_cli("start", str(faults.config), "--port", "0", "--runtime-dir", str(faults.runtime))
    assert again.returncode == 1
    assert f"pid {faults.pid}" in again.stderr
    port = faults.url.rsplit(":", 1)[1]
    busy = run_cli("start", str(faults.config), "--port", port, "--runtime-dir", str(tmp_path / "r"))
    assert busy.returncode == 1
    assert port in busy.stderr
    assert "--port" in busy.stderr


def test_runtime_dir_too_long_is_refused_with_the_reason(faults: RealServer, tmp_path: Path) -> None:
    result = run_cli("start", str(faults.config), "--runtime-dir", str(tmp_path / ("x" * 120)))
    assert result.returncode == 1
    assert "too long" in result.stderr


def test_stop_drains_running_streams_and_refuses_new_jobs(tmp_path: Path) -> None:
    config = '[models.m]\ntask = "text-completion"\nengine = "fault"\nmin_instances = 1\n'
    with serve(config, tmp_path) as server:
        server.wait_idle("m")
        stream = Stream(server.client(), "m", "!tokens 100 0.02")
        stream.start()
        assert stream.started.wait(10)
        os.kill(server.pid, signal.SIGTERM)
        wait_for(lambda: refused(server), 5)
        stream.join(15)
        assert stream.error is None
        assert stream.text.split()[-1] == "t99"
        wait_for(lambda: not psutil.pid_exists(server.pid) or zombie(server.pid), 10)


def refused(server: RealServer) -> bool:
    status, body = server.request("POST", "/v1/completions", {"model": "m", "prompt": "x"})
    return status == 503 and body["error"]["code"] == "shutting_down"


def zombie(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_second_sigterm_ends_at_once(tmp_path: Path) -> None:
    config = '[models.m]\ntask = "text-completion"\nengine = "fault"\nmin_instances = 1\n'
    with serve(config, tmp_path) as server:
        server.wait_idle("m")
        stream = Stream(server.client(), "m", "!tokens 5000 0.02")
        stream.start()
        assert stream.started.wait(10)
        os.kill(server.pid, signal.SIGTERM)
        wait_for(lambda: refused(server), 5)
        os.kill(server.pid, signal.SIGTERM)
        stream.join(10)
        assert stream.error is not None


def test_ttl_ends_an_idle_instance_and_the_next_job_starts_one(tmp_path: Path) -> None:
    config = '[models.m]\ntask = "text-completion"\nengine = "fault"\nttl = 0.5\n'
    with serve(config, tmp_path) as server:
        assert server.instances() == {}
        assert server.client().chat.completions.create(model="m", messages=say("one")).choices
        first = next(iter(server.instances().values()))["pid"]
        wait_for(lambda: server.instances() == {}, 5)
        assert not psutil.pid_exists(first)
        assert server.client().chat.completions.create(model="m", messages=say("two")).choices


def test_load_that_fails_opens_the_circuit_with_the_reason(tmp_path: Path) -> None:
    config = """
[models.bad]
task = "text-completion"
engine = "fault"
max_restarts = 1
options = { load_fail = "the cat ate the weights" }
"""
    with serve(config, tmp_path) as server:
        for _ in range(2):
            with pytest.raises(openai.InternalServerError) as caught:
                server.client().chat.completions.create(model="bad", messages=say("hi"))
            assert caught.value.status_code == 503
            assert caught.value.code == "model_unavailable"
            assert "the cat ate the weights" in str(caught.value)
        deaths: list[dict[str, Any]] = json.loads(server.infsup("deaths", "--json").stdout)
        assert deaths[0]["phase"] == "load"
        assert server.infsup("reset", "bad").returncode == 0


def test_hang_is_found_by_lack_of_progress(tmp_path: Path) -> None:
    config = """
[models.m]
task = "text-completion"
engine = "fault"
min_instances = 1
stall_timeout = 1.5
beat_interval = 0.2
retries = 0
"""
    with serve(config, tmp_path) as server:
        server.wait_idle("m")
        with pytest.raises(openai.InternalServerError) as caught:
            server.client().chat.completions.create(model="m", messages=say("!hang"))
        assert caught.value.code == "worker_stalled"
        death = json.loads(server.infsup("deaths", "--json").stdout)[0]
        assert "no progress" in death["cause"]
        assert death["stacks"]
        # Long healthy work is not a hang.
        answer = server.client().chat.completions.create(model="m", messages=say("!sleep 4"))
        assert answer.choices


def test_runtime_directory_is_private(faults: RealServer) -> None:
    assert faults.runtime.stat().st_mode & 0o777 == 0o700


def test_systemd_is_told_ready_watchdog_and_stopping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        with serve('[models.m]\ntask = "text-completion"\nengine = "fault"\n', tmp_path):
            heard: list[str] = []
            while not {"READY=1", "WATCHDOG=1"} <= set(heard):
                heard.append(manager.recv(1000).decode().split("\n")[0])
        while (word := manager.recv(1000).decode().split("\n")[0]) != "STOPPING=1":
            assert word == "WATCHDOG=1"
