"""Jobs through the whole server, with the real `openai` package."""

import asyncio
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from infsup.protocol.blocking import BlockingClient
from infsup.protocol.client import Client
from infsup.protocol.errors import DeadlineExceeded, InvalidRequest, ModelNotFound, SlowConsumer, UnsupportedTask
from infsup.protocol.messages import Ack, Chunk, Done, Failed, encode
from infsup.protocol.wire import Kind, Packet, pack

from .real_server import RealServer, say, wait_for


def test_chat_answers(faults: RealServer) -> None:
    answer = faults.client().chat.completions.create(model="echo", messages=say("hello wide world"))
    assert answer.choices[0].message.content == "hello wide world"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


def test_chat_streams_with_usage(faults: RealServer) -> None:
    stream = faults.client().chat.completions.create(
        model="echo", messages=say("a b c"), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "a b c"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == chunks[-1].usage.prompt_tokens + 3


def test_completions_answer_and_alias_resolves(faults: RealServer) -> None:
    answer = faults.client().completions.create(model="gpt-echo", prompt="one two", max_tokens=1)
    assert answer.choices[0].text.strip() == "one"
    assert answer.choices[0].finish_reason == "length"


def test_models_are_listed(faults: RealServer) -> None:
    names = [model.id for model in faults.client().models.list()]
    assert {"echo", "other", "vectors"} <= set(names)
    assert faults.client().models.retrieve("echo").object == "model"


def test_unknown_model_is_404(faults: RealServer) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        faults.client().chat.completions.create(model="nobody", messages=say("hi"))
    assert caught.value.code == "model_not_found"
    assert "echo" in str(caught.value)


def test_wrong_task_is_400(faults: RealServer) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        faults.client().chat.completions.create(model="vectors", messages=say("hi"))
    assert caught.value.code == "unsupported_task"


def test_engine_error_is_500_and_the_worker_lives(faults: RealServer) -> None:
    before = faults.wait_idle("echo")["pid"]
    with pytest.raises(openai.InternalServerError) as caught:
        faults.client().chat.completions.create(model="echo", messages=say("!error broken pipe organ"))
    assert caught.value.code == "engine_error"
    assert "broken pipe organ" in str(caught.value)
    assert faults.wait_idle("echo")["pid"] == before


def test_many_clients_at_once_all_get_their_own_answer(faults: RealServer) -> None:
    client = faults.client()

    def ask(number: int) -> str | None:
        answer = client.chat.completions.create(model="echo", messages=say(f"number {number}"))
        return answer.choices[0].message.content

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(64))) == [f"number {number}" for number in range(64)]


def test_timeout_ends_a_job_with_504_and_partial(faults: RealServer) -> None:
    begun = time.monotonic()
    with pytest.raises(openai.InternalServerError) as caught:
        faults.client().chat.completions.create(
            model="echo", messages=say("!tokens 1000 0.02"), extra_body={"timeout": 0.6}
        )
    assert time.monotonic() - begun < 5
    assert caught.value.status_code == 504
    body: Any = caught.value.body
    assert body["code"] == "deadline_exceeded"
    assert body["partial"]["text"].startswith("t0 t1")
    assert faults.client().chat.completions.create(model="echo", messages=say("still here")).choices


def test_disconnect_cancels_the_job(faults: RealServer) -> None:
    host, port = faults.url.removeprefix("http://").split(":")
    body = json.dumps({"model": "echo", "messages": say("!tokens 10000 0.01"), "stream": True}).encode()
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        assert b"200" in connection.recv(4096)
        wait_for(lambda: faults.get("/")[1]["pool"]["processing"] == 1, 5)
    assert wait_for(lambda: faults.get("/")[1]["pool"]["processing"] == 0, 5) < 1


def test_disconnect_while_waiting_takes_the_job_out_of_the_queue(faults: RealServer) -> None:
    blocker = threading.Thread(
        target=lambda: faults.client().chat.completions.create(model="echo", messages=say("!sleep 1.5"))
    )
    blocker.start()
    wait_for(lambda: faults.get("/")[1]["pool"]["processing"] == 1, 5)
    with pytest.raises(openai.APITimeoutError):
        faults.client(timeout=0.3).chat.completions.create(model="echo", messages=say("never mind"))
    wait_for(lambda: faults.get("/")[1]["pool"]["pending"] == 0, 1)
    blocker.join()


def test_client_library_runs_streams_and_fails_typed(faults: RealServer) -> None:
    async def scenario() -> None:
        async with Client(faults.runtime) as client:
            result = await client.run("echo", "text-completion", {"prompt": "one two"})
            assert result["choices"][0]["text"] == "one two"
            handle = await client.submit("echo", "text-completion", {"prompt": "!tokens 3 0"})
            events = [event async for event in handle]
            assert [type(event) for event in events if isinstance(event, Chunk | Done)] == [Chunk] * 3 + [Done]
            with pytest.raises(ModelNotFound):
                await client.run("nobody", "text-completion", {"prompt": "x"})
            with pytest.raises(UnsupportedTask):
                await client.run("echo", "embedding", {"input": ["x"]})
            with pytest.raises(DeadlineExceeded) as caught:
                await client.run("echo", "text-completion", {"prompt": "!tokens 999 0.02"}, timeout=0.5)
            assert caught.value.partial is not None

    asyncio.run(scenario())


def test_client_library_cancel_gives_the_partial_text(faults: RealServer) -> None:
    async def scenario() -> None:
        async with Client(faults.runtime) as client:
            handle = await client.submit("echo", "text-completion", {"prompt": "!tokens 999 0.01"})
            async for event in handle:
                if isinstance(event, Chunk):
                    break
            handle.cancel()
            last = [event async for event in handle][-1]
            assert type(last).__name__ == "CancelledEvent"
            assert handle.partial["text"].startswith("t0")

    asyncio.run(scenario())


def test_client_that_does_not_read_is_cut_off(faults: RealServer) -> None:
    async def scenario() -> None:
        async with Client(faults.runtime) as client:
            handle = await client.submit("echo", "text-completion", {"prompt": "!tokens 5000 0"})
            async for event in handle:
                if isinstance(event, Chunk):
                    break
            # Reads nothing more until the supervisor has ended the job: the last event is there without reading.
            async with asyncio.timeout(10):
                while not handle.finished:  # noqa: ASYNC110 - reading would be the event
                    await asyncio.sleep(0.01)
            last = [event async for event in handle][-1]
            assert isinstance(last, Failed)
            assert isinstance(last.error, SlowConsumer)

    asyncio.run(scenario())


def test_blocking_client_streams(faults: RealServer) -> None:
    with BlockingClient(faults.runtime) as client:
        assert client.control("ping") == "pong"
        texts = [
            event.data["text"]
            for event in client.stream("echo", "text-completion", {"prompt": "a b"})
            if isinstance(event, Chunk)
        ]
        assert "".join(texts) == "a b"


def test_client_that_leaves_has_its_jobs_cancelled(faults: RealServer) -> None:
    async def scenario() -> None:
        async with Client(faults.runtime) as client:
            await client.submit("echo", "text-completion", {"prompt": "!tokens 9999 0.01"})
            async with asyncio.timeout(5):
                while (await client.control("status"))["pool"]["processing"] == 0:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.01)

    asyncio.run(scenario())
    wait_for(lambda: faults.get("/")[1]["pool"]["processing"] == 0, 2)


@pytest.mark.parametrize(
    "options",
    [
        {"priority": 1.5},
        {"priority": True},
        {"timeout": "x"},
        {"stream": "yes"},
        {"prefix": ("a",)},
        {"keep_alive": -5.0},
    ],
)
def test_client_library_refuses_wrong_types_at_once(faults: RealServer, options: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with Client(faults.runtime) as client:
            with pytest.raises(InvalidRequest) as caught:
                await client.run("echo", "text-completion", {"prompt": "x"}, **options)
            assert caught.value.param == next(iter(options))

    asyncio.run(scenario())


def test_client_that_is_not_connected_says_so(faults: RealServer) -> None:
    async def scenario() -> None:
        with pytest.raises(RuntimeError):
            await Client(faults.runtime).run("echo", "text-completion", {"prompt": "x"})

    asyncio.run(scenario())
    client = BlockingClient(faults.runtime)
    client.close()
    with pytest.raises(RuntimeError):
        client.control("ping")


def test_submit_with_a_broken_header_is_answered(faults: RealServer) -> None:
    async def scenario() -> None:
        async with Client(faults.runtime) as client:
            handle = await client.submit("echo", "text-completion", {"prompt": "!sleep 0.2"})
            body = pack({"id": "job-x", "model": 5, "task": "text-completion"})
            other = await client.submit("echo", "text-completion", {"prompt": "y"}, job_id="job-x")
            client.send_packet(Packet(Kind.SUBMIT, "job-x", body))
            with pytest.raises(InvalidRequest, match="model"):
                await other.result()
            assert (await handle.result())["choices"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("verb", "args"),
    [
        ("load", {"model": []}),
        ("logs", {"model": 5}),
        ("kill", {"instance": {}}),
        ("cancel", {"job": None}),
        ("nonsense", {}),
        ("ping", {"x": 1}),
        ("load", {}),
    ],
)
def test_control_calls_with_wrong_arguments_are_answered(faults: RealServer, verb: str, args: dict[str, Any]) -> None:
    with BlockingClient(faults.runtime) as client, pytest.raises(InvalidRequest):
        client.control(verb, **args)


def test_words_about_another_clients_job_are_counted_logged_once_and_ignored(faults: RealServer) -> None:
    async def meddle() -> tuple[int, str]:
        async with Client(faults.runtime) as owner, Client(faults.runtime) as stranger:
            before = (await owner.control("server"))["dropped_messages"]
            job = await owner.submit("echo", "text-completion", {"prompt": "!tokens 30 0.02", "max_tokens": 100})
            async for event in job:
                if isinstance(event, Chunk):
                    break
            for packet in (Packet(Kind.CANCEL_JOB, job.id), encode(Ack(1000, 10**9), job.id)) * 3:
                stranger.send_packet(packet)
            await stranger.control("ping")
            result = await job.result()
            dropped = (await owner.control("server"))["dropped_messages"] - before
            return dropped, result["choices"][0]["text"]

    logged = faults.output().count("a job of another client")
    dropped, text = asyncio.run(meddle())
    assert (dropped, text.split()[-1]) == (6, "t29")
    assert faults.output().count("a job of another client") == logged + 1
