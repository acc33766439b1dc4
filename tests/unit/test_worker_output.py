from typing import Any

import pytest

from infsup.protocol.errors import EngineFailure, InvalidRequest
from infsup.protocol.job import Job
from infsup.protocol.wire import Kind, split, unpack_map
from infsup.workers.output import MERGE_SECONDS, JobOutput, merge


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Wire:
    """Keeps what was sent, read again."""

    def __init__(self) -> None:
        self.sent: list[tuple[Kind, dict[str, Any]]] = []

    def __call__(self, frames: list[bytes]) -> None:
        packet = split(frames)
        assert packet.key == "j"
        self.sent.append((packet.kind, unpack_map(packet.body)))


def made(*, stream: bool) -> tuple[JobOutput, Wire, Clock]:
    wire, clock = Wire(), Clock()
    return JobOutput(Job("j", "m", "text-completion", stream=stream), wire, clock), wire, clock


def text(word: str, **more: Any) -> dict[str, Any]:
    return {"text": word, "tokens": 1, "index": 0, **more}


def test_merge_joins_texts_of_each_index() -> None:
    pieces = [text("a", prompt_tokens=3), text("x", index=1), text("b"), text("y", index=1)]
    assert merge(pieces) == [
        {"text": "ab", "tokens": 2, "index": 0, "prompt_tokens": 3},
        {"text": "xy", "tokens": 2, "index": 1},
    ]


def test_merge_leaves_other_pieces_alone_and_in_order() -> None:
    odd = {"text": "b", "logprobs": [1]}
    step = {"step": 3}
    assert merge([text("a"), odd, text("c"), step, text("d")]) == [text("a"), odd, text("c"), step, text("d")]


@pytest.mark.parametrize("piece", [{"text": 3}, {"text": "a", "tokens": None}, {"text": "a", "index": "0"}])
def test_merge_of_wrong_types_raises_nothing(piece: dict[str, Any]) -> None:
    assert merge([piece, piece]) == [piece, piece]


def test_merge_keeps_the_pieces_themselves_unchanged() -> None:
    first = text("a")
    merge([first, text("b")])
    assert first == text("a")


def test_output_streaming_sends_each_piece_at_once() -> None:
    output, wire, _ = made(stream=True)
    output.piece(text("a"))
    output.piece(text("b"))
    output.done({"choices": []})
    assert wire.sent == [(Kind.CHUNK, text("a")), (Kind.CHUNK, text("b")), (Kind.DONE, {"choices": []})]


def test_output_not_streaming_sends_merged_pieces_at_most_once_in_a_while() -> None:
    output, wire, clock = made(stream=False)
    for word in "abc":
        output.piece(text(word))
    assert wire.sent == [(Kind.CHUNK, text("a"))]
    clock.now += MERGE_SECONDS
    output.piece(text("d"))
    assert wire.sent[1:] == [(Kind.CHUNK, {"text": "bcd", "tokens": 3, "index": 0})]


def test_output_not_streaming_flush_sends_what_is_held() -> None:
    output, wire, _ = made(stream=False)
    output.piece(text("a"))
    output.piece(text("b"))
    output.flush()
    output.flush()
    assert wire.sent == [(Kind.CHUNK, text("a")), (Kind.CHUNK, text("b"))]


def test_output_after_the_end_flushes_nothing() -> None:
    output, wire, _ = made(stream=False)
    for word in "ab":
        output.piece(text(word))
    output.done({})
    output.flush()
    assert [kind for kind, _ in wire.sent] == [Kind.CHUNK, Kind.DONE]


@pytest.mark.parametrize("stream", [True, False])
def test_output_cancelled_tells_the_whole_text_of_the_first_choice(*, stream: bool) -> None:
    output, wire, _ = made(stream=stream)
    for piece in (text("a", prompt_tokens=7), text("x", index=1), text("b")):
        output.piece(piece)
    output.cancelled()
    assert wire.sent[-1] == (
        Kind.CANCELLED,
        {"text": "ab", "usage": {"completion_tokens": 3, "prompt_tokens": 7}},
    )


def test_output_failed_takes_the_text_with_it() -> None:
    output, wire, _ = made(stream=False)
    output.piece(text("a"))
    output.failed(InvalidRequest("no", param="stop"))
    kind, body = wire.sent[-1]
    assert kind is Kind.FAILED
    assert body == {
        "code": "invalid_request",
        "message": "no",
        "param": "stop",
        "partial": {"text": "a", "usage": {"completion_tokens": 1}},
    }


def test_output_failed_with_unsendable_details_still_tells_the_message() -> None:
    output, wire, _ = made(stream=True)
    output.failed(EngineFailure("odd \udcff file", details={"what": object()}))
    assert wire.sent == [(Kind.FAILED, {"code": "engine_error", "message": "odd ? file"})]


def test_output_of_what_cannot_be_packed_is_an_engine_error_and_no_end() -> None:
    output, wire, _ = made(stream=True)
    with pytest.raises(EngineFailure, match="piece cannot be packed"):
        output.piece({"image": object()})
    with pytest.raises(EngineFailure, match="result cannot be packed"):
        output.done({"numbers": {1, 2}})
    assert wire.sent == []


def test_output_over_the_limit_is_an_engine_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infsup.workers.output._MAX_BODY_BYTES", 100)
    output, _, _ = made(stream=True)
    with pytest.raises(EngineFailure, match="allowed are 100"):
        output.done({"image": b"x" * 200})


def test_output_of_a_huge_number_of_pieces_is_merged_in_one_pass() -> None:
    pieces = [text("word ") for _ in range(300_000)]
    assert merge(pieces) == [{"text": "word " * 300_000, "tokens": 300_000, "index": 0}]


def test_output_partial_has_what_is_still_held_back() -> None:
    output, wire, clock = made(stream=False)
    output.piece(text("a"))
    clock.now += MERGE_SECONDS / 2
    output.piece(text("b"))
    assert output.partial == output.partial == {"text": "ab", "usage": {"completion_tokens": 2}}
    assert [body["text"] for _, body in wire.sent] == ["a"]


def test_merge_end_of_a_choice_stays_a_piece_of_its_own() -> None:
    end = {"text": "c", "tokens": 1, "index": 0, "finish_reason": "stop"}
    assert merge([text("a"), text("b"), end]) == [{"text": "ab", "tokens": 2, "index": 0}, end]
