"""What an instance is expected to need before any has run."""

from pathlib import Path
from typing import Any

import pytest

from infsup.supervisor.config import ModelConfig, parse_config
from infsup.supervisor.estimate import (
    BASE_BYTES,
    LEAST_CONTEXT,
    OTHER_BASE_BYTES,
    Estimate,
    context_that_fits,
    estimate,
    kv_cache_bytes,
)
from infsup.supervisor.gguf_facts import Facts
from infsup.supervisor.weights import Weights

MB, GB = 1_000_000, 1_000_000_000
FACTS = Facts(
    "llama",
    context_length=131_072,
    block_count=32,
    embedding_length=4096,
    kv_heads=32 * 8,
    key_length=128,
    value_length=128,
    vocabulary=128_000,
)  # Llama 3.1 8B: 128 KiB of cache a token
TOKEN = 131_072
WEIGHTS = Weights(4_000 * MB, FACTS)


def model(engine: str = "llama-cpp", **keys: Any) -> ModelConfig:
    """Return a definition; it is not checked that its file exists."""
    keys = {"task": "text-completion", "engine": engine, **keys}
    return ModelConfig.model_validate(keys, context={"base": Path("/")})


@pytest.mark.parametrize(
    ("context", "parallel", "number_bytes", "expected"),
    [
        (1024, 1, 2.0, 134_217_728),
        (1024, 4, 2.0, 4 * 134_217_728),
        (0, 1, 2.0, 128 * 134_217_728),
        (1024, 1, 34 / 32, 71_303_168),  # q8_0: 34 bytes for 32 numbers
    ],
)
def test_kv_cache_bytes_is_tokens_times_heads_times_lengths(
    context: int, parallel: int, number_bytes: float, expected: int
) -> None:
    assert kv_cache_bytes(FACTS, context, parallel, number_bytes) == expected


def test_kv_cache_bytes_of_a_model_without_attention_is_zero() -> None:
    assert kv_cache_bytes(Facts("mamba", context_length=4096, block_count=24), 0) == 0


def test_estimate_gguf_is_files_cache_logits_and_process() -> None:
    found = estimate(model(context_size=8192, parallel=2), WEIGHTS)
    assert found == Estimate(
        base=BASE_BYTES["llama-cpp"],
        weights=4_400 * MB,
        context=2 * 8192 * TOKEN,
        compute=512 * 4 * (128_000 + 16 * 4096),
        context_size=8192,
        at_load=2 * 8192 * TOKEN,
    )
    assert found.bytes == found.base + found.weights + found.context + found.compute
    assert str(found).startswith("4400 MB for files, 2147 MB for a context of 8192 tokens, ")


def test_estimate_without_a_context_size_is_for_the_trained_length() -> None:
    assert estimate(model(), WEIGHTS).context == FACTS.context_length * TOKEN


def test_estimate_without_facts_is_files_and_process() -> None:
    assert estimate(model(context_size=8192), Weights(GB)) == Estimate(BASE_BYTES["llama-cpp"], 1_100 * MB)
    assert estimate(model("my.module:Engine"), Weights(GB)) == Estimate(OTHER_BASE_BYTES, 1_100 * MB)


def test_estimate_on_the_gpu_alone_leaves_the_context_out() -> None:
    gpu = model(context_size=8192, device={"gpu": True})
    assert estimate(gpu, WEIGHTS).context == 0
    for partly in ({"gpu": True, "gpu_layers": 12}, {"gpu": "auto"}, {"gpu": False}):
        assert estimate(model(context_size=8192, device=partly), WEIGHTS).context == 8192 * TOKEN


def test_estimate_onnx_counts_float32_and_a_copy_of_the_weights() -> None:
    found = estimate(model("onnx", context_size=1024), Weights(GB, FACTS))
    assert (found.weights, found.context, found.at_load) == (2 * GB, 2 * 1024 * TOKEN, 0)


@pytest.mark.parametrize(
    ("memory", "expected"), [("200MB", 200 * MB), ("1 GiB", 2**30), ("500", 500), (7, 7), (None, 0)]
)
def test_estimate_fault_engine_counts_what_it_is_told_to_allocate(memory: object, expected: int) -> None:
    found = estimate(model("fault", options={} if memory is None else {"memory": memory}), Weights(5 * MB))
    assert (found.bytes, found.at_load) == (BASE_BYTES["fault"] + expected + 5 * MB, expected)


def test_context_that_fits_enough_room_leaves_the_models_own() -> None:
    assert context_that_fits(model(), WEIGHTS, 30 * GB) == 0


def test_context_that_fits_less_room_is_cut_to_what_fits() -> None:
    size = context_that_fits(model(), WEIGHTS, 8 * GB)
    assert 0 < size < FACTS.context_length
    assert size % 1024 == 0
    assert estimate(model(context_size=size), WEIGHTS).bytes <= 8 * GB
    assert estimate(model(context_size=size + 1024), WEIGHTS).bytes > 8 * GB


def test_context_that_fits_no_room_at_all_is_never_below_the_least() -> None:
    assert context_that_fits(model(), WEIGHTS, 1) == LEAST_CONTEXT
    short = Weights(GB, Facts("llama", context_length=2048, kv_heads=64, key_length=64, value_length=64))
    assert context_that_fits(model(), short, 1) == 2048


def test_context_that_fits_is_not_ours_to_choose_when_it_is_given_or_unknown() -> None:
    assert context_that_fits(model(context_size=100_000), WEIGHTS, 1) == 0
    assert context_that_fits(model(), Weights(GB), 1) == 0
    assert context_that_fits(model(device={"gpu": True}), WEIGHTS, 1) == 0


def test_estimate_of_a_checked_model_takes_its_batch_size() -> None:
    config = parse_config({"models": {"m": {"task": "text-completion", "engine": "fault", "batch_size": 64}}})
    small = config.models["m"].model_copy(update={"engine": "llama-cpp"})
    assert estimate(small, WEIGHTS).compute == 64 * 4 * (128_000 + 16 * 4096)
