import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infsup.protocol.errors import EngineFailure, InvalidRequest
from infsup.protocol.job import Job
from infsup.protocol.spec import DeviceSpec, ModelSpec
from infsup.protocol.wire import WireError, split
from infsup.workers.engine import EngineFatal, JobCancelled, JobContext, Piece, Result
from infsup.workers.engines.fault import FaultEngine, hash_vector
from infsup.workers.engines.fault_deeds import malformed_messages, oversize_messages
from infsup.workers.engines.fault_options import FaultOptions, read_options
from infsup.workers.progress import Progress


def loaded(**options: Any) -> FaultEngine:
    engine = FaultEngine()
    engine.load(ModelSpec("m", "text-completion", "fault", options=options), Progress())
    return engine


def run(engine: FaultEngine, params: Mapping[str, Any], task: str = "text-completion") -> tuple[list[str], Any]:
    *pieces, last = engine.run(Job("j", "m", task, params), JobContext(Progress()))
    assert isinstance(last, Result)
    return [piece.data["text"] for piece in pieces if isinstance(piece, Piece)], last.data


def test_fault_text_echoes_word_by_word() -> None:
    texts, result = run(loaded(), {"prompt": "say  this now"})
    assert texts == ["say", "  this", " now"]
    assert result == {
        "choices": [{"index": 0, "text": "say  this now", "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 3},
    }


def test_fault_chat_echoes_the_last_user_message_of_parts() -> None:
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": None},
        {
            "role": "user",
            "content": [{"type": "text", "text": "an"}, {"type": "image_url"}, {"type": "text", "text": " ox"}],
        },
    ]
    texts, result = run(loaded(), {"messages": messages}, "chat-completion")
    assert "".join(texts) == "an ox"
    assert result["usage"] == {"prompt_tokens": 5, "completion_tokens": 2}


def test_fault_max_tokens_truncates_with_reason_length() -> None:
    _, result = run(loaded(), {"prompt": "!tokens 5 0", "max_tokens": 2})
    assert result["choices"] == [{"index": 0, "text": "t0 t1", "finish_reason": "length"}]


def test_fault_defaults_of_the_model_apply_below_the_jobs_parameters() -> None:
    engine = FaultEngine()
    engine.load(ModelSpec("m", "text-completion", "fault", defaults={"max_tokens": 1}), Progress())
    assert run(engine, {"prompt": "a b c"})[0] == ["a"]
    assert run(engine, {"prompt": "a b c", "max_tokens": 2})[0] == ["a", " b"]


def test_fault_embedding_is_eight_numbers_of_length_one_and_always_the_same() -> None:
    texts, result = run(loaded(), {"input": ["one", "two"]}, "embedding")
    assert texts == []
    assert result["embeddings"] == [hash_vector("one"), hash_vector("two")]
    assert result["embeddings"][0] != result["embeddings"][1]
    assert [len(vector) for vector in result["embeddings"]] == [8, 8]
    assert math.isclose(math.hypot(*result["embeddings"][0]), 1.0)


@pytest.mark.parametrize(
    ("task", "params", "param"),
    [
        ("text-completion", {}, "prompt"),
        ("text-completion", {"prompt": 3}, "prompt"),
        ("text-completion", {"prompt": "a", "max_tokens": -1}, "max_tokens"),
        ("text-completion", {"prompt": "a", "max_tokens": True}, "max_tokens"),
        ("text-completion", {"prompt": "a", "stop": 3}, "stop"),
        ("text-completion", {"prompt": "a", "stop": [3]}, "stop"),
        ("chat-completion", {}, "messages"),
        ("chat-completion", {"messages": []}, "messages"),
        ("chat-completion", {"messages": ["hi"]}, "messages.0"),
        ("chat-completion", {"messages": [{"role": "user", "content": 3}]}, "messages.0.content"),
        ("embedding", {}, "input"),
    ],
)
def test_fault_wrong_parameters_are_named(task: str, params: Mapping[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        run(loaded(), params, task)
    assert caught.value.param == param


def test_fault_error_and_crash_raise_what_they_say() -> None:
    with pytest.raises(EngineFailure, match="no luck"):
        run(loaded(), {"prompt": "!error no luck"})
    with pytest.raises(EngineFatal):
        run(loaded(), {"prompt": "!crash"})


def test_fault_cancel_ends_a_long_sleep() -> None:
    context = JobContext(Progress())
    events = loaded().run(Job("j", "m", "text-completion", {"prompt": "!sleep 600"}), context)
    timer = threading.Timer(0.05, context.cancel)
    timer.start()
    with pytest.raises(JobCancelled):
        next(events)
    timer.join()


def test_fault_past_deadline_ends_a_job() -> None:
    context = JobContext(Progress(), deadline=0.0)
    with pytest.raises(JobCancelled):
        list(loaded().run(Job("j", "m", "text-completion", {"prompt": "!sleep 600"}), context))


def test_fault_sleep_counts_progress() -> None:
    progress = Progress()
    list(loaded().run(Job("j", "m", "text-completion", {"prompt": "!sleep 0.15"}), JobContext(progress)))
    assert progress.beat().progress >= 1
    assert progress.current_phase == "decode"


def test_fault_garbage_without_a_link_is_an_engine_error() -> None:
    with pytest.raises(EngineFailure, match="link"):
        run(loaded(), {"prompt": "!garbage"})


def test_fault_garbage_spoils_no_chunk_of_its_own_job() -> None:
    for frames in malformed_messages("job-1"):
        try:
            packet = split(frames)
        except WireError:
            continue
        assert packet.key != "job-1" or packet.kind.name == "RUN"


def test_fault_oversize_messages_are_refused_and_nobodys() -> None:
    for frames in oversize_messages():
        with pytest.raises(WireError, match="over"):
            split(frames)
        assert frames[1] == b"job-of-nobody"


def test_fault_load_order_is_obeyed_by_one_load(tmp_path: Path) -> None:
    file = tmp_path / "order"
    loaded(load_order_file=str(file))
    file.write_text("!error no such luck\n", encoding="utf-8")
    with pytest.raises(EngineFailure, match="no such luck"):
        loaded(load_order_file=str(file))
    assert not file.exists()
    loaded(load_order_file=str(file))


def test_fault_load_reports_device_capacity_and_context() -> None:
    engine = FaultEngine()
    spec = ModelSpec(
        "m", "text-completion", "fault", context_size=77, device=DeviceSpec(gpu=True), options={"capacity": 4}
    )
    info = engine.load(spec, Progress())
    assert (info.context_size, info.device, engine.capacity) == (77, "gpu", 4)


def test_fault_load_fail_raises_its_message() -> None:
    with pytest.raises(EngineFailure, match="bad weights"):
        loaded(load_fail="bad weights")


def test_read_options_of_all_kinds_returns_them() -> None:
    assert read_options({"load_delay": 1, "memory": "200MB", "capacity": 2, "ignore_cancel": True}) == FaultOptions(
        load_delay=1.0, memory=200_000_000, capacity=2, ignore_cancel=True
    )
    assert read_options({"memory": "1 GiB"}).memory == 2**30
    assert read_options({"memory": 5}).memory == 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loaddelay": 1, "what": 2}, "found loaddelay, what, known are load_delay"),
        ({"load_delay": "1"}, "options.load_delay: found '1', allowed is a number"),
        ({"load_delay": -1}, "0 or more seconds"),
        ({"token_delay": float("nan")}, "0 or more seconds"),
        ({"load_crash": 1}, "allowed is true or false"),
        ({"load_fail": True}, "allowed is a string"),
        ({"capacity": True}, "allowed is an integer"),
        ({"capacity": 0}, "1 to 256"),
        ({"memory": "200 potatoes"}, "such as '200MB'"),
        ({"memory": True}, "such as '200MB'"),
    ],
)
def test_read_options_wrong_names_the_option(options: Mapping[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_options(options)
    assert words in caught.value.message
