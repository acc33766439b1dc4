"""A real gateway process, called over HTTP; behind it a scripted supervisor."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infsup.protocol.errors import (
    ContextLengthExceeded,
    DeadlineExceeded,
    EngineFailure,
    InfsupError,
    ModelNotFound,
    ModelUnavailable,
    QueueFull,
    ShuttingDown,
    WorkerCrashed,
)

from .gateway_harness import (
    PATIENCE,
    STATUS,
    FakeJob,
    FakeSupervisor,
    call,
    fake_supervisor,
    open_request,
    read_until,
)

CHAT = "/v1/chat/completions"


def chat(text: str = "one two", **more: Any) -> dict[str, Any]:
    return {"model": "tiny:1.0", "messages": [{"role": "user", "content": text}], **more}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeSupervisor]:
    with fake_supervisor(tmp_path_factory.mktemp("gw")) as made:
        made.start()
        yield made


@pytest.fixture
def gateway(shared: FakeSupervisor) -> Iterator[FakeSupervisor]:
    """Give the gateway that all these tests share, with the script as it was."""
    script = shared.script
    yield shared
    shared.script = script
    while not shared.jobs.empty():
        shared.jobs.get()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[FakeSupervisor]:
    """Give a gateway of the test's own, not yet started."""
    with fake_supervisor(tmp_path) as made:
        yield made


def test_gateway_health_answers_get_and_head(gateway: FakeSupervisor) -> None:
    answer = call(gateway.port, "GET", "/health")
    assert (answer.status, answer.json()) == (200, {"status": "ok"})
    assert answer.headers["server"] == "infsup/0.0.test"
    assert call(gateway.port, "HEAD", "/health").status == 200


def test_gateway_root_passes_the_status_on(gateway: FakeSupervisor) -> None:
    assert call(gateway.port, "GET", "/").json() == STATUS


@pytest.mark.parametrize("path", [CHAT, "/openai/v1/chat/completions"])
def test_gateway_chat_answers_in_the_exact_shape(gateway: FakeSupervisor, path: str) -> None:
    before = int(time.time())
    answer = call(gateway.port, "POST", path, chat(temperature=0, max_completion_tokens=9, priority=3), X_Timeout="30")
    body = answer.json()
    assert answer.status == 200, body
    job = gateway.next_job()
    assert before <= body.pop("created") <= time.time()
    assert body == {
        "id": job.header.id.replace("job-", "chatcmpl-"),
        "object": "chat.completion",
        "model": "tiny:1.0",
        "system_fingerprint": None,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "one two", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 2,
            "total_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 2},
        },
    }
    assert answer.headers["content-type"].startswith("application/json")
    assert job.params == {
        "messages": [{"role": "user", "content": "one two"}],
        "temperature": 0,
        "max_tokens": 9,
    }
    header = job.header
    assert (header.task, header.stream, header.priority, header.timeout) == ("chat-completion", False, 3, 30.0)
    assert header.client == "addr:127.0.0.1"
    assert len(header.prefix) == 1


def test_gateway_chat_stream_sends_the_exact_events(gateway: FakeSupervisor) -> None:
    answer = call(gateway.port, "POST", CHAT, chat(stream=True, stream_options={"include_usage": True}))
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *events, last = answer.events()
    assert last == "[DONE]"
    assert all(event["object"] == "chat.completion.chunk" and event["model"] == "tiny:1.0" for event in events)
    assert len({(event["id"], event["created"]) for event in events}) == 1
    *pieces, usage = events
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 7
    assert all(piece["usage"] is None for piece in pieces)
    assert [piece["choices"] for piece in pieces] == [
        [{"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}],
        [{"index": 0, "delta": {"content": "one"}, "logprobs": None, "finish_reason": None}],
        [{"index": 0, "delta": {"content": " two"}, "logprobs": None, "finish_reason": None}],
        [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}],
    ]


def test_gateway_stream_without_usage_option_has_no_usage_key(gateway: FakeSupervisor) -> None:
    events = call(gateway.port, "POST", CHAT, chat(stream=True)).events()
    assert all("usage" not in event for event in events[:-1])


@pytest.mark.parametrize(
    ("error", "retry_after", "should_retry"),
    [
        (ContextLengthExceeded("9 of 4", param="messages"), None, None),
        (ModelNotFound("no model", param="model"), None, None),
        (QueueFull("full", retry_after=2.2), "3", None),
        (ShuttingDown("stopping"), "1", None),
        (ModelUnavailable("circuit", retry_after=0.1), "1", None),
        (WorkerCrashed("poison", final=True), None, "false"),
        (WorkerCrashed("once"), None, None),
        (EngineFailure("raised"), None, "false"),
        (DeadlineExceeded("late", partial={"text": "one", "usage": {}}), None, "false"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_gateway_failure_before_the_first_byte_is_a_status(
    gateway: FakeSupervisor, error: InfsupError, retry_after: str | None, should_retry: str | None, stream: bool
) -> None:
    gateway.script = lambda job: (job.started(), job.fail(error))[0]
    answer = call(gateway.port, "POST", CHAT, chat(stream=stream))
    assert answer.status == error.status
    assert answer.json() == error.to_body()
    assert answer.headers.get("retry-after") == retry_after
    assert answer.headers.get("x-should-retry") == should_retry
    assert answer.headers["x-request-id"].startswith("req_")


def test_gateway_failure_after_a_chunk_is_the_last_event(gateway: FakeSupervisor) -> None:
    def script(job: FakeJob) -> None:
        job.chunk("some")
        job.fail(WorkerCrashed("died"))

    gateway.script = script
    answer = call(gateway.port, "POST", CHAT, chat(stream=True))
    assert answer.status == 200
    *_, text, last = answer.events()
    assert text["choices"][0]["delta"] == {"content": "some"}
    assert last["error"]["code"] == "worker_crashed"
    assert last["error"]["partial"]["text"] == "some"


@pytest.mark.parametrize("stream", [False, True])
def test_gateway_cancelled_by_an_operator_is_499(gateway: FakeSupervisor, stream: bool) -> None:
    gateway.script = FakeJob.end_cancelled
    answer = call(gateway.port, "POST", CHAT, chat(stream=stream))
    assert (answer.status, answer.error()["code"]) == (499, "cancelled")


def test_gateway_engine_that_does_not_stream_still_streams_its_text(gateway: FakeSupervisor) -> None:
    gateway.script = lambda job: job.done("all at once")
    events = call(gateway.port, "POST", CHAT, chat(stream=True)).events()
    assert [event["choices"][0]["delta"].get("content") for event in events[:-1]] == ["", "all at once", None]


def test_gateway_malformed_result_is_an_engine_error(gateway: FakeSupervisor) -> None:
    gateway.script = lambda job: job.done()
    answer = call(gateway.port, "POST", CHAT, chat())
    assert (answer.status, answer.error()["code"]) == (500, "engine_error")


def test_gateway_completions_with_several_prompts_number_the_choices_through(gateway: FakeSupervisor) -> None:
    body = {"model": "tiny:1.0", "prompt": ["a", "b"], "n": 2, "echo": True, "stop": "x"}
    answer = call(gateway.port, "POST", "/v1/completions", body).json()
    assert answer["object"] == "text_completion"
    assert [(choice["index"], choice["text"]) for choice in answer["choices"]] == [
        (0, "a"),
        (1, "a"),
        (2, "b"),
        (3, "b"),
    ]
    assert answer["usage"]["total_tokens"] == 12
    jobs = [gateway.next_job(), gateway.next_job()]
    assert [job.params for job in jobs] == [
        {"prompt": prompt, "n": 2, "echo": True, "stop": ["x"]} for prompt in ("a", "b")
    ]
    streamed = call(gateway.port, "POST", "/v1/completions", {**body, "stream": True}).events()
    texts = dict.fromkeys(range(4), "")
    for event in streamed[:-1]:
        texts[event["choices"][0]["index"]] += event["choices"][0]["text"]
    assert texts == {0: "a", 1: "a", 2: "b", 3: "b"}


def test_gateway_completions_failing_prompt_cancels_the_others(gateway: FakeSupervisor) -> None:
    def script(job: FakeJob) -> None:
        if job.params["prompt"] == "bad":
            job.fail(EngineFailure("no"))

    gateway.script = script
    answer = call(gateway.port, "POST", "/v1/completions", {"model": "m", "prompt": ["good", "bad"]})
    assert answer.status == 500
    good = gateway.next_job()
    assert good.params["prompt"] == "good"
    assert good.was_cancelled()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/models/none", 404, "model_not_found"),
        ("GET", CHAT, 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
    ],
)
def test_gateway_wrong_path_or_method_is_typed(
    gateway: FakeSupervisor, method: str, path: str, status: int, code: str
) -> None:
    answer = call(gateway.port, method, path)
    assert (answer.status, answer.error()["code"]) == (status, code)
    assert set(answer.error()) == {"message", "type", "param", "code"}
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        (b"", 400, "invalid_request", "empty"),
        (b'{"model": ', 400, "invalid_request", "line 1 column 10"),
        (b"[1]", 400, "invalid_request", "array"),
        (b"x" * 100_001, 413, "body_too_large", "100000"),
        (iter([b"x" * 60_000] * 2), 413, "body_too_large", "100000"),
    ],
)
def test_gateway_body_that_is_no_object_is_refused(
    gateway: FakeSupervisor, body: object, status: int, code: str, words: str
) -> None:
    answer = call(gateway.port, "POST", CHAT, body)
    assert (answer.status, answer.error()["code"]) == (status, code)
    assert words in answer.error()["message"]


def test_gateway_body_too_large_is_refused_before_it_is_sent(gateway: FakeSupervisor) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE) as connection:
        connection.sendall(
            f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert b"HTTP/1.1 413" in read_until(connection, b"\r\n")


def test_gateway_wrong_content_type_is_tolerated(gateway: FakeSupervisor) -> None:
    answer = call(gateway.port, "POST", CHAT, chat(), Content_Type="text/plain")
    assert answer.status == 200


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ('{"messages": [{"role": "user", "content": 5}]}', "messages[0].content"),
        ('{"max_tokens": "5"}', "max_tokens"),
        ('{"model": null}', "model"),
        ('{"tools": [{}]}', "tools[0].function"),
        ('{"tempature": 1}', "tempature"),
        ('{"keep_alive": "soon"}', "keep_alive"),
    ],
)
def test_gateway_wrong_field_is_named(gateway: FakeSupervisor, change: str, param: str) -> None:
    answer = call(gateway.port, "POST", CHAT, {**chat(), **json.loads(change)})
    assert (answer.status, answer.error()["param"]) == (400, param)


def test_gateway_text_that_is_no_http_gets_a_json_error(gateway: FakeSupervisor) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE) as connection:
        connection.sendall(b"this is not http\r\n\r\n")
        received = b""
        while piece := connection.recv(65536):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 400")
    assert json.loads(body)["error"]["code"] == "invalid_request"


def test_gateway_invalid_http_hides_its_library(gateway: FakeSupervisor) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE) as sent:
        sent.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n")
        answer = read_until(sent, b"}}")
    assert b"\r\nServer: infsup/0.0.test\r\n" in answer
    assert b"aiohttp" not in answer
    assert b'Invalid character in Content-Length"' in answer


@pytest.mark.parametrize(
    ("encoding", "param", "message"),
    [
        ("gzip", None, "the body cannot be read: Can not decode content-encoding: gzip"),
        ("foo", "Content-Encoding", 'Content-Encoding: found "foo", allowed are gzip, deflate and identity'),
    ],
)
def test_gateway_body_that_cannot_be_decoded_is_refused_quietly(
    gateway: FakeSupervisor, encoding: str, param: str | None, message: str
) -> None:
    answer = call(gateway.port, "POST", CHAT, b"no gzip", Content_Encoding=encoding)
    assert (answer.status, answer.error()["param"], answer.error()["message"]) == (400, param, message)
    assert call(gateway.port, "GET", "/health").status == 200
    assert "Traceback" not in gateway.output.read_text()


def test_gateway_request_id_is_kept_if_sane(gateway: FakeSupervisor) -> None:
    assert call(gateway.port, "GET", "/health", X_Request_Id="abc-1").headers["x-request-id"] == "abc-1"
    assert call(gateway.port, "GET", "/nothing", X_Request_Id="a b").headers["x-request-id"].startswith("req_")


def _leave(connection: socket.socket, how: str) -> None:
    match how:
        case "close":
            connection.close()
        case "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            connection.close()
        case _:
            connection.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
@pytest.mark.parametrize("when", ["whole", "before-first", "streaming"])
def test_gateway_client_that_leaves_cancels_its_job(gateway: FakeSupervisor, how: str, when: str) -> None:
    gateway.script = lambda job: job.chunk("some") if when == "streaming" else job.started()
    connection = open_request(gateway.port, CHAT, chat(stream=when != "whole"))
    job = gateway.next_job()
    if when == "streaming":
        read_until(connection, b"some")
    left_at = time.monotonic()
    _leave(connection, how)
    assert job.was_cancelled()
    # 100 ms are promised; a busy test machine gets more.
    assert job.cancelled_at - left_at < 2.0
    connection.close()


def test_gateway_client_that_does_not_read_gets_no_more_credit(gateway: FakeSupervisor) -> None:
    chunks, size = 400, 65536

    def script(job: FakeJob) -> None:
        for _ in range(chunks):
            job.chunk("x" * size)
        job.done("x" * size * chunks)

    gateway.script = script
    with open_request(gateway.port, CHAT, chat(stream=True)) as connection:
        job = gateway.next_job()
        read_until(connection, b"xxx")
        acked, deadline = -1, time.monotonic() + PATIENCE
        # Until it stands still: the kernel's buffers take some megabytes first.
        while acked != job.acked and time.monotonic() < deadline:
            acked = job.acked
            time.sleep(0.5)
        assert acked < chunks
        read_until(connection, b"[DONE]")


def test_gateway_sigterm_finishes_what_runs_and_exits_with_0(own: FakeSupervisor) -> None:
    own.start()
    finish = threading.Event()

    def script(job: FakeJob) -> None:
        job.chunk("some")
        finish.wait(PATIENCE)
        job.done("some more")

    own.script = script
    assert own.process is not None
    with open_request(own.port, CHAT, chat(stream=True)) as connection:
        read_until(connection, b"some")
        own.process.send_signal(signal.SIGTERM)
        own.process.send_signal(signal.SIGINT)
        finish.set()
        read_until(connection, b"[DONE]")
    assert own.process.wait(PATIENCE) == 0, own.output.read_text()


def test_gateway_foreign_parent_is_refused(own: FakeSupervisor) -> None:
    assert own.spawn(parent=1).wait(PATIENCE) == 1
    assert "gone" in own.output.read_text()


def test_gateway_without_settings_exits_with_usage() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "infsup.gateway"], input=b"{}\n", capture_output=True, timeout=PATIENCE, check=False
    )
    assert ended.returncode == 64
    assert b"endpoint" in ended.stderr
    assert b"Traceback" not in ended.stderr


_PARENT = """
import json, os, subprocess, sys
settings = {**json.loads(sys.argv[1]), "parent": os.getpid()}
child = subprocess.Popen([sys.executable, "-m", "infsup.gateway"], stdin=subprocess.PIPE, pass_fds=(settings["fd"],))
child.stdin.write(json.dumps(settings).encode() + b"\\n")
child.stdin.flush()
print(child.pid, flush=True)
child.wait()
"""


def test_gateway_killed_parent_takes_it_along(own: FakeSupervisor) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, json.dumps(own.settings())],
        stdout=subprocess.PIPE,
        pass_fds=(own.listener.fileno(),),
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert own.ready.wait(PATIENCE)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + PATIENCE
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # A zombie that nobody reaps here has ended, too.
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
