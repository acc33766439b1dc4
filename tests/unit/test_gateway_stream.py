"""Streams: the bytes of events, keep-alives, and jobs that belong together."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from infsup.gateway.errors import error_headers
from infsup.gateway.jobs import JobGroup
from infsup.gateway.openai import answers
from infsup.gateway.openai.prompts import locate_prompt
from infsup.gateway.openai.results import Choice, TextResult, Usage, read_result
from infsup.gateway.openai.shapes import Answer, Api, Pieces, whole
from infsup.gateway.openai.transcript import Transcript
from infsup.protocol.client import Client, JobHandle
from infsup.protocol.errors import EngineFailure, InfsupError, InvalidRequest, QueueFull, RateLimited, ShuttingDown
from infsup.protocol.messages import CancelledEvent, Chunk, Done, Failed, JobEvent, Queued, Started

RESULT = {"choices": [{"index": 0, "text": "ab", "finish_reason": "length"}], "usage": {"prompt_tokens": 1}}


def parse(data: bytes) -> list[Any]:
    parts = data.decode().split("\n\n")
    assert parts[-1] == ""
    return [json.loads(part.removeprefix("data: ")) for part in parts[:-1] if part != "data: [DONE]"]


def transcript(api: Api = Api.CHAT, *, choices: int = 1, usage: bool = False) -> Transcript:
    answer = Answer(api, "job-1", 'm"1', created=7)
    return Transcript(Pieces(answer, usage=usage), choices, usage=usage)


@pytest.mark.parametrize("usage", [False, True])
@pytest.mark.parametrize("api", list(Api))
def test_pieces_are_json_with_the_same_head(api: Api, usage: bool) -> None:
    pieces = Pieces(Answer(api, "job-1", 'm"1\u2028', created=7), usage=usage)
    text = 'quote " line\n ünï\u2028 \x00'
    events = parse(
        pieces.opening(3) + pieces.text(3, text) + pieces.closing(3, "stop") + pieces.usage_event(Usage(1, 2, 3))
    )
    for event in events:
        assert (event["id"], event["model"], event["created"]) == (f"{api.value}-1", 'm"1\u2028', 7)
        assert event["system_fingerprint"] is None
        assert ("usage" in event) is (usage or not event["choices"])
    *_, piece, closing, last = events
    found = piece["choices"][0]
    assert found["index"] == 3
    assert (found["delta"]["content"] if api is Api.CHAT else found["text"]) == text
    assert closing["choices"][0]["finish_reason"] == "stop"
    assert last["usage"]["total_tokens"] == 3


def test_transcript_writes_nothing_for_events_without_text() -> None:
    assert transcript().write([(0, Queued(1)), (0, Started("i"))]) == (b"", None)


def test_transcript_says_what_the_chunks_left_out() -> None:
    made = transcript()
    data, error = made.write([(0, Chunk({"index": 0, "text": "a"})), (0, Done(RESULT))])
    assert error is None
    deltas = [event["choices"][0]["delta"] for event in parse(data)]
    assert deltas == [{"role": "assistant", "content": ""}, {"content": "a"}, {"content": "b"}, {}]


def test_transcript_does_not_repeat_text_that_was_changed_afterwards() -> None:
    data, _ = transcript().write([(0, Chunk({"text": "x"})), (0, Done(RESULT))])
    assert [event["choices"][0]["delta"].get("content") for event in parse(data)] == ["", "x", None]


def test_transcript_numbers_choices_over_jobs() -> None:
    data, _ = transcript(Api.TEXT, choices=2).write([(1, Chunk({"index": 1, "text": "x"}))])
    assert parse(data)[0]["choices"][0]["index"] == 3


def test_transcript_keeps_what_came_before_a_failure() -> None:
    failure = EngineFailure("no")
    data, error = transcript().write([(0, Chunk({"text": "x"})), (0, Failed(failure))])
    assert error is failure
    assert len(parse(data)) == 2
    _, error = transcript().write([(0, CancelledEvent({"text": "x"}))])
    assert error is not None
    assert (error.code, error.partial) == ("cancelled", {"text": "x"})


CALL = {"id": "c1", "name": "roll", "arguments": '{"a": 1}'}
CALLED: dict[str, Any] = {
    "choices": [{"index": 0, "text": "", "finish_reason": "tool_calls", "reasoning": "hm", "tool_calls": [CALL]}],
    "usage": {},
}
FIRST: dict[str, Any] = {"index": 0, "id": "c1", "type": "function", "function": {"name": "roll", "arguments": ""}}


def test_transcript_streams_reasoning_and_calls() -> None:
    pieces = [
        {"text": "", "reasoning": "hm"},
        {"text": "", "tool_calls": [{"index": 0, "id": "c1", "name": "roll", "arguments": ""}]},
        {"text": "", "tool_calls": [{"index": 0, "arguments": '{"a": 1}'}]},
    ]
    data, error = transcript().write([*((0, Chunk(piece)) for piece in pieces), (0, Done(CALLED))])
    assert error is None
    choices = [event["choices"][0] for event in parse(data)]
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "hm"},
        {"tool_calls": [FIRST]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a": 1}'}}]},
        {},
    ]
    assert choices[-1]["finish_reason"] == "tool_calls"


def test_transcript_says_calls_and_reasoning_that_only_the_result_has() -> None:
    data, _ = transcript().write([(0, Done(CALLED))])
    deltas = [event["choices"][0]["delta"] for event in parse(data)]
    whole_call = {**FIRST, "function": {"name": "roll", "arguments": '{"a": 1}'}}
    assert deltas[1:3] == [{"reasoning_content": "hm"}, {"tool_calls": [whole_call]}]


def test_whole_chat_answer_with_calls_has_openais_shape() -> None:
    body = json.loads(whole(Answer(Api.CHAT, "job-1", "m", 7), [read_result(CALLED)], 1))
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "reasoning_content": "hm",
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "roll", "arguments": '{"a": 1}'}}],
    }


def test_transcript_ending_adds_up_the_usage() -> None:
    made = transcript(usage=True)
    made.write([(0, Done(RESULT)), (1, Done(RESULT))])
    assert parse(made.ending())[0]["usage"]["prompt_tokens"] == 2
    assert made.ending().endswith(b"data: [DONE]\n\n")


ENTRIES: list[dict[str, Any]] = [
    {"token": "a", "bytes": b"a", "logprob": None, "top": [], "offset": 0},
    {"token": "b", "bytes": b"b", "logprob": -0.5, "offset": 1,
     "top": [{"token": "b", "bytes": b"b", "logprob": -0.5}, {"token": "c", "bytes": b"c", "logprob": -1.5}]},
]  # fmt: skip
TEXT_LOGPROBS = {
    "tokens": ["a", "b"],
    "token_logprobs": [None, -0.5],
    "top_logprobs": [None, {"b": -0.5, "c": -1.5}],
    "text_offset": [0, 1],
}
CHAT_LOGPROBS: dict[str, Any] = {
    "content": [
        {"token": "a", "bytes": [97], "logprob": None, "top_logprobs": []},
        {"token": "b", "bytes": [98], "logprob": -0.5, "top_logprobs": [
            {"token": "b", "bytes": [98], "logprob": -0.5}, {"token": "c", "bytes": [99], "logprob": -1.5}]},
    ],
    "refusal": None,
}  # fmt: skip


@pytest.mark.parametrize(("api", "shape"), [(Api.TEXT, TEXT_LOGPROBS), (Api.CHAT, CHAT_LOGPROBS)])
def test_logprobs_have_openais_shapes_whole_and_in_pieces(api: Api, shape: dict[str, Any]) -> None:
    result = {"choices": [{"index": 0, "text": "ab", "finish_reason": "stop", "logprobs": ENTRIES}]}
    body = json.loads(whole(Answer(api, "job-1", "m", 7), [read_result(result)], 1))
    assert body["choices"][0]["logprobs"] == shape
    piece = Chunk({"index": 0, "text": "ab", "tokens": 2, "logprobs": ENTRIES})
    streamed, _ = transcript(api).write([(0, piece), (0, Done(result))])
    said_at_the_end, _ = transcript(api).write([(0, Done(result))])
    for data in (streamed, said_at_the_end):
        found = [event["choices"][0]["logprobs"] for event in parse(data)]
        assert [logprobs for logprobs in found if logprobs] == [shape]


def test_logprobs_of_no_shape_are_none() -> None:
    for odd in (5, [5], [{"top": 5, "bytes": 5}]):
        result = {"choices": [{"text": "ab", "logprobs": odd}]}
        assert whole(Answer(Api.CHAT, "job-1", "m", 7), [read_result(result)], 1)


def test_whole_text_answer_has_openais_shape() -> None:
    body = whole(Answer(Api.TEXT, "job-1", "m", 7), [TextResult((Choice(0, "a", "stop"),), Usage(1, 2))], 1)
    assert json.loads(body) == {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 7,
        "model": "m",
        "system_fingerprint": None,
        "choices": [{"index": 0, "text": "a", "logprobs": None, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 1,
            "completion_tokens": 2,
            "total_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"choices": []},
        {"choices": 5},
        {"choices": ["x"]},
        {"choices": [{"text": 5}]},
        {"choices": [{"text": "", "index": ""}]},
        {"choices": [{"text": "", "tool_calls": [{"id": "c1"}]}]},
    ],
)
def test_result_that_has_no_text_is_the_engines_mistake(result: dict[str, Any]) -> None:
    with pytest.raises(EngineFailure):
        read_result(result)


def test_result_unknown_finish_reason_and_usage_become_plain() -> None:
    result = read_result({"choices": [{"text": "a", "finish_reason": "whim"}], "usage": {"prompt_tokens": "x"}})
    assert result == TextResult((Choice(0, "a", "stop"),), Usage())


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (QueueFull("x"), {"Retry-After": "1"}),
        (RateLimited("x", retry_after=1.01), {"Retry-After": "2"}),
        (ShuttingDown("x", final=True), {"Retry-After": "1", "x-should-retry": "false"}),
        (InfsupError("x", retry_after=5), {"x-should-retry": "false"}),
    ],
)
def test_error_headers_say_whether_to_retry(error: InfsupError, headers: dict[str, str]) -> None:
    assert error_headers(error) == headers


class Jobs:
    """Job handles without a supervisor behind them."""

    def __init__(self, count: int) -> None:
        client = Client("ipc:///nowhere")
        self.cancelled: list[str] = []
        self.handles = [JobHandle(client, f"job-{i}") for i in range(count)]
        client.send_packet = lambda packet: self.cancelled.append(packet.key)  # type: ignore[method-assign]

    def tell(self, number: int, *events: JobEvent) -> None:
        for event in events:
            self.handles[number].on_event(event)


def test_job_group_takes_what_is_there_at_once() -> None:
    async def main() -> None:
        jobs = Jobs(1)
        async with JobGroup(jobs.handles) as group:
            jobs.tell(0, Chunk({"text": "a"}), Chunk({"text": "b"}), Done(RESULT))
            assert len(await group.next()) == 3
            assert not group.running
        assert jobs.cancelled == []

    asyncio.run(main())


def test_job_group_left_early_cancels_what_runs() -> None:
    async def main() -> None:
        jobs = Jobs(3)
        jobs.tell(1, Done(RESULT))
        jobs.tell(2, Failed(EngineFailure("no")))
        with pytest.raises(EngineFailure):
            async with JobGroup(jobs.handles) as group:
                await group.results()
        assert jobs.cancelled == ["job-0"]

    asyncio.run(main())


def test_job_group_results_keep_the_order_of_the_jobs() -> None:
    async def main() -> list[Any]:
        jobs = Jobs(2)
        async with JobGroup(jobs.handles) as group:
            jobs.tell(1, Chunk({"text": "x"}), Done({"of": 1}))
            asyncio.get_running_loop().call_later(0.01, jobs.tell, 0, Done({"of": 0}))
            return [dict(result) for result in await group.results()]

    assert asyncio.run(main()) == [{"of": 0}, {"of": 1}]


def test_job_group_silence_gives_an_empty_batch() -> None:
    async def main() -> None:
        async with JobGroup(Jobs(1).handles) as group:
            assert await group.next(timeout=0) == []
            assert group.running

    asyncio.run(main())


def serve_stream(jobs: Jobs, use: Callable[[TestClient[Any, Any]], Awaitable[None]]) -> None:
    """Serve the stream of these jobs to `use`."""

    async def handler(request: web.Request) -> web.StreamResponse:
        async with JobGroup(jobs.handles) as group:
            return await answers.stream_jobs(request, group, transcript())

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/", handler)
        async with TestClient(TestServer(app)) as client:
            await use(client)

    asyncio.run(main())


def test_stream_that_waits_long_is_kept_alive_and_then_fails_as_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "KEEP_ALIVE_S", 0.01)
    jobs = Jobs(1)

    async def use(client: TestClient[Any, Any]) -> None:
        async with client.get("/") as response:
            assert response.status == 200
            assert await response.content.readexactly(14) == b": keep-alive\n\n"
            jobs.tell(0, Failed(EngineFailure("no")))
            rest = (await response.read()).replace(b": keep-alive\n\n", b"")
            assert parse(rest)[0]["error"]["code"] == "engine_error"

    serve_stream(jobs, use)


def test_stream_keep_alive_is_due_though_the_queue_position_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "KEEP_ALIVE_S", 0.05)
    jobs = Jobs(1)

    async def use(client: TestClient[Any, Any]) -> None:
        async def move_up() -> None:
            for position in range(1000):
                jobs.tell(0, Queued(position))
                await asyncio.sleep(0.01)

        moving = asyncio.create_task(move_up())
        async with client.get("/") as response:
            assert await response.content.readexactly(14) == b": keep-alive\n\n"
        moving.cancel()

    serve_stream(jobs, use)


def test_transcript_closes_a_choice_when_it_has_ended() -> None:
    made = transcript(choices=2)
    data, _ = made.write([(0, Chunk({"index": 0, "text": "a", "finish_reason": "length"}))])
    assert [event["choices"][0]["finish_reason"] for event in parse(data)] == [None, None, "length"]
    choices = [{"index": i, "text": "ab", "finish_reason": "stop"} for i in range(2)]
    data, error = made.write([(0, Chunk({"index": 1, "text": "ab"})), (0, Done({"choices": choices}))])
    assert error is None
    ends = [(event["choices"][0]["index"], event["choices"][0]["finish_reason"]) for event in parse(data)]
    assert ends == [(1, None), (1, None), (1, "stop")]


@pytest.mark.parametrize(
    ("message", "param", "located"),
    [
        ("prompt: found 5 tokens", "prompt", ("prompt[1]: found 5 tokens", "prompt[1]")),
        ("prompt[3]: found 999", "prompt", ("prompt[1][3]: found 999", "prompt[1]")),
        ("top_k: found 'prompt'", "top_k", ("top_k: found 'prompt'", "top_k")),
    ],
)
def test_job_group_failure_names_the_prompt(message: str, param: str, located: tuple[str, str]) -> None:
    async def main() -> None:
        jobs = Jobs(2)
        jobs.tell(0, Done(RESULT))
        jobs.tell(1, Failed(InvalidRequest(message, param=param)))
        async with JobGroup(jobs.handles, locate_prompt) as group:
            with pytest.raises(InvalidRequest) as caught:
                await group.results()
        assert (caught.value.message, caught.value.param) == located

    asyncio.run(main())
