"""Which files an instance holds, and what they say of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from infsup.supervisor.config import ModelConfig
from infsup.supervisor.hf_facts import ConfigJsonError, read_config_json
from infsup.supervisor.weights import Weights, weigh, weigh_all

from .gguf_files import LLAMA, TENSORS, U32, U64, gguf, pair

CONFIG: dict[str, Any] = {
    "model_type": "qwen2",
    "hidden_size": 896,
    "max_position_embeddings": 32768,
    "num_attention_heads": 14,
    "num_hidden_layers": 24,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
}


def model(file: Path | None, engine: str = "llama-cpp", **keys: Any) -> ModelConfig:
    keys = {"task": "text-completion", "engine": engine, "file": str(file or ""), **keys}
    return ModelConfig.model_validate(keys, context={"base": Path("/")})


def put(path: Path, content: bytes | int) -> Path:
    """Write a file; a number is its size, of which nothing takes room on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        if isinstance(content, int):
            stream.truncate(content)
        else:
            stream.write(content)
    return path


def test_weigh_gguf_is_its_size_and_facts(tmp_path: Path) -> None:
    file = put(tmp_path / "m.gguf", gguf(LLAMA, TENSORS) + bytes(1000))
    found = weigh(model(file))
    assert (found.bytes, found.problem) == (file.stat().st_size, "")
    assert found.facts is not None
    assert (found.facts.context_length, found.facts.kv_heads) == (2048, 8)


def test_weigh_split_gguf_counts_all_its_files(tmp_path: Path) -> None:
    first = put(tmp_path / "m-00001-of-00003.gguf", gguf([*LLAMA, pair("split.count", U32, 3)]))
    for number in (2, 3):
        put(tmp_path / f"m-0000{number}-of-00003.gguf", 5_000_000)
    put(tmp_path / "m-00004-of-00004.gguf", 9_000_000)
    assert weigh(model(first)).bytes == first.stat().st_size + 10_000_000


def test_weigh_counts_the_other_components(tmp_path: Path) -> None:
    file = put(tmp_path / "m.gguf", gguf(LLAMA))
    files = {"mmproj": {"file": str(put(tmp_path / "p", 500))}, "none": {"file": str(tmp_path / "none")}}
    assert weigh(model(file, files=files)).bytes == file.stat().st_size + 500


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gguf(LLAMA)[:200], "truncated"),
        (b"nothing of the kind", "not a GGUF file"),
        (gguf([*LLAMA[:4], pair("llama.context_length", U64, 1 << 60)]), "absurd numbers: context_length"),
        (
            gguf([*LLAMA[:9], pair("llama.attention.key_length", U64, 1 << 63)]),
            "absurd numbers: key_length",
        ),
    ],
)
def test_weigh_damaged_gguf_is_its_size_and_the_reason(tmp_path: Path, content: bytes, words: str) -> None:
    found = weigh(model(put(tmp_path / "m.gguf", content)))
    assert (found.bytes, found.facts) == (len(content), None)
    assert words in found.problem


def test_weigh_missing_files_are_nothing(tmp_path: Path) -> None:
    assert weigh(model(None)) == Weights()
    for engine in ("llama-cpp", "onnx", "fault", "my.module:Engine"):
        assert weigh(model(tmp_path / "none.gguf", engine)) == Weights()


def test_weigh_file_that_cannot_be_looked_at_is_a_reason(tmp_path: Path) -> None:
    found = weigh(model(tmp_path / ("x" * 300) / "m.gguf"))
    assert found.bytes == 0
    assert "File name too long" in found.problem


def test_weigh_all_keeps_the_names(tmp_path: Path) -> None:
    found = weigh_all({"a": model(put(tmp_path / "a", 5), "fault"), "b": model(None)})
    assert {name: weights.bytes for name, weights in found.items()} == {"a": 5, "b": 0}


def test_weigh_onnx_folder_takes_the_graph_its_data_and_config_json(tmp_path: Path) -> None:
    put(tmp_path / "onnx/model.onnx", 100)
    put(tmp_path / "onnx/model.onnx_data", 1000)
    put(tmp_path / "onnx/model_q4.onnx", 50)
    put(tmp_path / "pytorch_model.bin", 70_000)
    put(tmp_path / "config.json", json.dumps(CONFIG).encode())
    found = weigh(model(tmp_path, "onnx"))
    assert found.bytes == 1100
    assert found.facts is not None
    assert found.facts.context_length == 32768
    assert weigh(model(tmp_path, "onnx", options={"onnx_file": "model_q4.onnx"})).bytes == 50


def test_weigh_onnx_without_config_json_or_with_a_damaged_one_is_its_size(tmp_path: Path) -> None:
    file = put(tmp_path / "m/model.onnx", 100)
    assert weigh(model(file, "onnx")) == Weights(100)
    put(tmp_path / "m/config.json", b"{")
    found = weigh(model(file, "onnx"))
    assert (found.bytes, found.facts) == (100, None)
    assert "config.json" in found.problem


def test_weigh_directory_is_its_safetensors_where_it_has_any(tmp_path: Path) -> None:
    put(tmp_path / "a/pytorch_model.bin", 500)
    assert weigh(model(tmp_path, "my.module:Engine")).bytes == 500
    put(tmp_path / "a/model-00001-of-00002.safetensors", 300)
    put(tmp_path / "a/model-00002-of-00002.safetensors", 200)
    (tmp_path / "a/gone.safetensors").symlink_to(tmp_path / "nowhere")
    assert weigh(model(tmp_path, "my.module:Engine")).bytes == 500


def test_read_config_json_gives_the_cache_s_measures(tmp_path: Path) -> None:
    facts = read_config_json(put(tmp_path / "config.json", json.dumps(CONFIG).encode()))
    assert (facts.kv_heads, facts.key_length, facts.value_length) == (48, 64, 64)
    assert (facts.context_length, facts.vocabulary, facts.architecture) == (32768, 151936, "qwen2")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"n_layer": 12, "n_head": 12, "n_embd": 768, "n_ctx": 1024}, (144, 64, 1024)),
        ({**CONFIG, "head_dim": 128}, (48, 128, 32768)),
        ({"text_config": CONFIG, "vision_config": {"hidden_size": 5}}, (48, 64, 32768)),
        ({"num_hidden_layers": True, "hidden_size": "5", "num_attention_heads": -4}, (0, 0, 0)),
        ({}, (0, 0, 0)),
    ],
)
def test_read_config_json_knows_other_names_and_odd_values(
    tmp_path: Path, config: dict[str, Any], expected: tuple[int, ...]
) -> None:
    facts = read_config_json(put(tmp_path / "config.json", json.dumps(config).encode()))
    assert (facts.kv_heads, facts.key_length, facts.context_length) == expected


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff\xfe", b"[" * 200_000, b" " * 5_000_000 + b"{}"])
def test_read_config_json_damaged_file_is_one_error(tmp_path: Path, content: bytes) -> None:
    file = put(tmp_path / "config.json", content)
    with pytest.raises(ConfigJsonError, match=r"config\.json"):
        read_config_json(file)
    with pytest.raises(ConfigJsonError, match="No such file"):
        read_config_json(tmp_path / "none")
