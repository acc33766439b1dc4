"""Reading how a decoder takes its cache, and llama.cpp's log."""

from dataclasses import dataclass

import numpy as np
import pytest

from infsup.protocol.errors import ModelUnavailable
from infsup.workers.engines.llama_cpp_library import LogTail
from infsup.workers.engines.onnx_layout import read_layout


@dataclass
class Node:
    name: str
    shape: list[int | str | None]
    type: str = "tensor(float)"


IDS = Node("input_ids", ["b", "s"], "tensor(int64)")
PAST = Node("past_key_values.0.key", ["b", 2, "past", 32], "tensor(float16)")
LOGITS = Node("logits", ["b", "s", 768])
PRESENT = Node("present.0.key", ["b", 2, "total", 32])


def test_read_layout_finds_the_cache_and_the_types() -> None:
    layout = read_layout([IDS, Node("attention_mask", ["b", "t"], "tensor(int64)"), PAST], [LOGITS, PRESENT])
    (cached,) = layout.cache
    assert (cached.past, cached.present) == ("past_key_values.0.key", "present.0.key")
    assert (cached.shape, cached.axis, cached.dtype) == ((1, 2, 0, 32), 2, np.float16)
    assert layout.inputs == {"input_ids": np.int64, "attention_mask": np.int64}
    assert layout.vocabulary == 768


@pytest.mark.parametrize(
    ("inputs", "outputs", "reason"),
    [
        ([IDS, PAST, Node("pixel_values", ["b"])], [LOGITS, PRESENT], "generates no text: inputs .*pixel_values"),
        ([IDS, PAST], [Node("last_hidden_state", []), PRESENT], "generates no text"),
        ([IDS], [LOGITS], "without a KV cache"),
        ([IDS, PAST], [LOGITS], r"no output present\.0\.key"),
        ([IDS, Node(PAST.name, ["b", "h", "past", 32])], [LOGITS, PRESENT], "one axis"),
        ([IDS, Node(PAST.name, ["b", 2, "past", 32], "tensor(bfloat16)")], [LOGITS, PRESENT], "unsupported type"),
    ],
)
def test_read_layout_other_models_are_refused_with_the_reason(
    inputs: list[Node], outputs: list[Node], reason: str
) -> None:
    with pytest.raises(ModelUnavailable, match=reason):
        read_layout(inputs, outputs)


def test_log_tail_passes_warnings_on_and_keeps_errors(capsys: pytest.CaptureFixture[str]) -> None:
    log = LogTail()
    for level, text in [(2, b"info\n"), (3, b"warn"), (5, b"ing\n"), (4, b"load: error loading model: no tensor\n")]:
        log.write(level, text, None)
    log.write(4, b"load: failed to load model\n", None)
    assert capsys.readouterr().err == "warning\nload: error loading model: no tensor\nload: failed to load model\n"
    assert log.take_errors() == "no tensor"
    assert log.take_errors() == "no reason given"
