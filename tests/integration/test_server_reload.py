"""Reload under load: SIGHUP and `infsup reload` touch only what differs, and a broken file changes nothing."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from .real_server import RealServer, say, serve, wait_for

STAYS = """
[models.stays]
task = "text-completion"
engine = "fault"
min_instances = 1
"""
CHANGES = """
[models.changes]
task = "text-completion"
engine = "fault"
min_instances = 1
context_size = {context}
"""
ADDED = """
[models.added]
task = "text-completion"
engine = "fault"
aliases = ["new-name"]
"""


class Stream(threading.Thread):
    """One long streamed answer."""

    def __init__(self, client: openai.OpenAI, model: str, prompt: str) -> None:
        super().__init__()
        self._client, self._model, self._prompt = client, model, prompt
        self.text = ""
        self.error: openai.APIError | None = None
        self.begun = threading.Event()

    def run(self) -> None:
        try:
            with self._client.chat.completions.create(
                model=self._model, messages=say(self._prompt), stream=True
            ) as stream:
                for chunk in stream:
                    self.text += chunk.choices[0].delta.content or ""
                    self.begun.set()
        except openai.APIError as error:
            self.error = error


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    with serve(STAYS + CHANGES.format(context=1000), tmp_path) as running:
        running.wait_idle("stays")
        running.wait_idle("changes")
        yield running


def pids(server: RealServer, model: str) -> set[int]:
    return {one["pid"] for one in server.instances(model).values()}


def test_reload_with_a_changed_an_added_and_an_untouched_model_touches_only_what_differs(server: RealServer) -> None:
    before = {model: pids(server, model) for model in ("stays", "changes")}
    streams = [Stream(server.client(), model, "!tokens 300 0.01") for model in ("stays", "changes")]
    for stream in streams:
        stream.start()
    assert all(stream.begun.wait(10) for stream in streams)
    server.config.write_text(STAYS + CHANGES.format(context=2000) + ADDED)
    done = server.infsup("reload")
    assert done.returncode == 0, done.stderr
    assert "added: added; to be loaded anew: changes" in done.stdout
    answer = server.client().chat.completions.create(model="changes", messages=say("by the new one"))
    assert answer.choices[0].message.content == "by the new one"
    assert server.client().chat.completions.create(model="new-name", messages=say("hi")).choices[0].message.content
    for stream in streams:
        stream.join(20)
        assert stream.error is None
        assert stream.text.split()[-1] == "t299"
    wait_for(lambda: not pids(server, "changes") & before["changes"], 10, server.output)
    assert pids(server, "stays") == before["stays"]
    sizes = {one["id"]: one["context_size"] for one in server.get("/v1/models")[1]["data"]}
    assert sizes["changes"] == 2000


def test_sighup_with_a_removed_model_lets_its_jobs_end_and_answers_404_then(server: RealServer) -> None:
    stream = Stream(server.client(), "changes", "!tokens 200 0.01")
    stream.start()
    assert stream.begun.wait(10)
    server.config.write_text(STAYS)
    os.kill(server.pid, signal.SIGHUP)
    wait_for(lambda: "reloaded: removed: changes" in server.output(), 10, server.output)
    status, body = server.request("POST", "/v1/chat/completions", {"model": "changes", "messages": say("hi")})
    assert (status, body["error"]["code"]) == (404, "model_not_found")
    stream.join(20)
    assert (stream.error, stream.text.split()[-1]) == (None, "t199")
    wait_for(lambda: not pids(server, "changes"), 10, server.output)


def test_reload_with_a_removed_model_fails_its_waiting_jobs_with_404(server: RealServer) -> None:
    running = Stream(server.client(), "changes", "!tokens 500 0.01")
    running.start()
    assert running.begun.wait(10)
    waiting = Stream(server.client(), "changes", "waits")
    waiting.start()
    wait_for(lambda: server.get("/")[1]["pool"]["pending"] == 1, 10, server.output)
    server.config.write_text(STAYS)
    assert server.request("POST", "/infsup/v1/reload")[0] == 200
    waiting.join(5)
    assert isinstance(waiting.error, openai.NotFoundError)
    running.join(40)
    assert running.error is None


def test_reload_of_a_broken_file_shows_every_mistake_and_changes_nothing(server: RealServer) -> None:
    before = server.instances()
    server.config.write_text(STAYS.replace("min_instances = 1", "min_instances = -1\nttl = 'x'"))
    done = server.infsup("reload")
    assert done.returncode != 0
    assert "models.stays.min_instances" in done.stderr
    assert "models.stays.ttl" in done.stderr
    os.kill(server.pid, signal.SIGHUP)
    wait_for(lambda: "the configuration stays as it was" in server.output(), 10, server.output)
    assert {one["pid"] for one in server.instances().values()} == {one["pid"] for one in before.values()}
    assert (
        server.client().chat.completions.create(model="changes", messages=say("hi")).choices[0].message.content == "hi"
    )


def test_reload_with_changed_keys_replaces_the_gateway_without_cutting_a_stream(server: RealServer) -> None:
    stream = Stream(server.client(), "stays", "!tokens 300 0.01")
    stream.start()
    assert stream.begun.wait(10)
    server.config.write_text('[server]\napi_keys = ["s3cret-key-1"]\n' + STAYS + CHANGES.format(context=1000))
    assert server.infsup("reload").returncode == 0
    wait_for(lambda: server.get("/v1/models")[0] == 401, 10, server.output)
    assert server.request("GET", "/v1/models", headers={"Authorization": "Bearer s3cret-key-1"})[0] == 200
    stream.join(20)
    assert (stream.error, stream.text.split()[-1]) == (None, "t299")
    gateways = [p for p in server.processes() if "infsup.gateway" in " ".join(p.cmdline())]
    wait_for(lambda: sum(p.is_running() for p in gateways) == 1, 10, server.output)


def test_reload_with_adjusted_limits_keeps_the_instance_and_follows_them(server: RealServer) -> None:
    before = pids(server, "stays")
    server.config.write_text(STAYS + 'aliases = ["also"]\n' + CHANGES.format(context=1000))
    assert "adjusted: stays" in server.infsup("reload").stdout
    assert server.client().chat.completions.create(model="also", messages=say("hi")).choices[0].message.content == "hi"
    assert pids(server, "stays") == before
    server.config.write_text(STAYS.replace("min_instances = 1", "ttl = 0.5") + CHANGES.format(context=1000))
    assert "adjusted: stays" in server.infsup("reload").stdout
    wait_for(lambda: not server.instances("stays"), 10, server.output)


def test_reload_with_a_changed_port_says_that_it_needs_a_restart(server: RealServer) -> None:
    server.config.write_text("[server]\nport = 1234\n[pool]\ngpu_slots = 1\n" + STAYS + CHANGES.format(context=1000))
    done = server.infsup("reload")
    assert done.returncode == 0
    assert "only after a restart: pool.gpu_slots" in done.stdout
    assert server.get("/health")[0] == 200


def test_reload_tells_systemd_reloading_and_then_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(place)
        systemd.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", place)
        with serve(STAYS, tmp_path) as running:
            assert systemd.recv(4096).startswith(b"READY=1")
            running.config.write_text(STAYS + ADDED)
            os.kill(running.pid, signal.SIGHUP)
            assert systemd.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert systemd.recv(4096).startswith(b"READY=1\nSTATUS=2 model(s)")


def test_reload_over_http_answers_with_the_changes(server: RealServer) -> None:
    server.config.write_text(STAYS)
    status, reply = server.request("POST", "/infsup/v1/reload")
    assert (status, reply["removed"]) == (200, ["changes"])
