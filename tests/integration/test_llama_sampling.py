"""What the engine `llama-cpp` can do to choose tokens, and what it tells of their likelihood."""

import ctypes
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tokenizers import Tokenizer

from infsup.protocol.errors import InvalidRequest

from .llama_harness import ROOT, TINY, Driver, driving

pytestmark = pytest.mark.llama

COUNT = [{"role": "user", "content": "Count to 10."}]
TEN = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10."
WILD: Mapping[str, Any] = {"prompt": "Once", "temperature": 2.0, "top_k": 0, "top_p": 1, "min_p": 0, "max_tokens": 24}
ROUNDING = 0.02
"""The cache has 11 bits of precision, and batches of other shapes are added up in another order."""


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with driving(parallel=4) as made:
        yield made


class Plain:
    """The model without anything around it: logits by one decode of a whole text."""

    def __init__(self, file: Path) -> None:
        import llama_cpp  # noqa: PLC0415

        self.library: Any = llama_cpp
        self.model = self.library.llama_model_load_from_file(bytes(file), self.library.llama_model_default_params())
        self.tokenizer = Tokenizer.from_file(str(ROOT / "workers" / "models" / "tiny" / "tokenizer.json"))

    def logprobs(self, tokens: list[int]) -> npt.NDArray[np.float64]:
        """Return the logarithms of all tokens' probabilities after each of `tokens`."""
        library = self.library
        params = library.llama_context_default_params()
        params.n_ctx, params.n_batch = 512, 512
        context = library.llama_init_from_model(self.model, params)
        batch = library.llama_batch_init(len(tokens), 0, 1)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = token, i, 1, 0, 1
        batch.n_tokens = len(tokens)
        assert library.llama_decode(context, batch) == 0
        size = library.llama_vocab_n_tokens(library.llama_model_get_vocab(self.model))
        pointer = ctypes.cast(library.llama_get_logits(context), ctypes.POINTER(ctypes.c_float))
        logits = np.ctypeslib.as_array(pointer, (len(tokens), size)).astype(np.float64)
        library.llama_batch_free(batch)
        library.llama_free(context)
        highest = logits.max(axis=1, keepdims=True)
        return logits - highest - np.log(np.exp(logits - highest).sum(axis=1, keepdims=True))


@pytest.fixture(scope="module")
def plain() -> Plain:
    return Plain(TINY)


@pytest.mark.parametrize(
    "changes",
    [
        {"typical_p": 0.3}, {"top_n_sigma": 0.5}, {"xtc_probability": 1.0, "xtc_threshold": 0.05},
        {"mirostat": 1, "mirostat_tau": 1.0}, {"mirostat": 2, "mirostat_tau": 1.0},
        {"dynatemp_range": 1.9, "dynatemp_exponent": 2.0}, {"min_p": 0.5}, {"top_k": 2},
    ],
)  # fmt: skip
def test_sampling_each_sampler_has_an_effect_and_repeats(driver: Driver, changes: dict[str, Any]) -> None:
    def texts(**more: Any) -> list[str]:
        jobs = [driver.submit(**(dict(WILD) | {"seed": seed} | more)) for seed in range(4)]
        driver.finish()
        return [job.text for job in jobs]

    assert texts(**changes) != texts()
    assert texts(**changes) == texts(**changes)


def test_sampling_dry_ends_repetitions(driver: Driver) -> None:
    loop: dict[str, Any] = {"prompt": "a b c d a b c d a b c d a b", "ignore_eos": True, "max_tokens": 40}
    plain, dry = (driver.ask(**loop, **more).text for more in ({}, {"dry_multiplier": 5.0, "dry_allowed_length": 1}))
    assert plain != dry
    assert driver.ask(**loop, dry_multiplier=5.0, dry_penalty_last_n=0).text == plain


def test_sampling_min_tokens_holds_the_end_and_stop_strings_off(driver: Driver) -> None:
    short = driver.ask(messages=COUNT)
    length = short.usage["completion_tokens"]
    longer = driver.ask(messages=COUNT, min_tokens=length + 7)
    assert longer.usage["completion_tokens"] >= length + 7
    assert longer.text.startswith(TEN)
    assert driver.ask(messages=COUNT, stop=["3"]).text == "1, 2, "
    assert "3" in driver.ask(messages=COUNT, stop=["3"], min_tokens=10).text


def test_sampling_best_of_keeps_the_likeliest(driver: Driver) -> None:
    seeds = [driver.ask(**WILD, seed=seed, logprobs=0).result["choices"][0] for seed in range(4)]
    means = [sum(entry["logprob"] for entry in choice["logprobs"]) / len(choice["logprobs"]) for choice in seeds]
    job = driver.ask(**WILD, seed=0, best_of=4, n=2)
    best = sorted(range(4), key=means.__getitem__, reverse=True)[:2]
    assert [choice["text"] for choice in job.result["choices"]] == [seeds[i]["text"] for i in best]
    assert [choice["index"] for choice in job.result["choices"]] == [0, 1]
    assert job.pieces == []
    assert job.usage["completion_tokens"] > 24
    with pytest.raises(InvalidRequest, match="best_of"):
        driver.submit(**WILD, best_of=2, n=3)


def test_logprobs_are_those_of_a_plain_recomputation(driver: Driver, plain: Plain) -> None:
    noise = [driver.submit(prompt=f"{i} noise", ignore_eos=True, max_tokens=40) for i in range(2)]
    job = driver.ask(prompt="Once upon a", max_tokens=20, logprobs=5, repeat_penalty=1.3, seed=3, temperature=1)
    assert all(other.usage["completion_tokens"] == 40 for other in noise)
    entries = job.result["choices"][0]["logprobs"]
    assert len(entries) == job.usage["completion_tokens"]
    assert [entry for piece in job.pieces for entry in piece["logprobs"]] == entries
    prompt = plain.tokenizer.encode("Once upon a", add_special_tokens=False).ids
    for entry in entries:
        row = plain.logprobs(prompt)[-1]
        best = np.argsort(-row, kind="stable")[:5]
        token = next(int(i) for i in np.argsort(-row) if text_of(plain, int(i)) == entry["bytes"])
        assert entry["logprob"] == pytest.approx(row[token], abs=ROUNDING)
        assert [top["logprob"] for top in entry["top"]] == pytest.approx(list(row[best]), abs=ROUNDING)
        prompt.append(token)


def text_of(plain: Plain, token: int) -> bytes:
    library = plain.library
    buffer = ctypes.create_string_buffer(64)
    vocab = library.llama_model_get_vocab(plain.model)
    length = library.llama_token_to_piece(vocab, token, buffer, 64, 0, False)  # noqa: FBT003
    return buffer.raw[: max(0, length)]


@pytest.mark.parametrize("max_tokens", [0, 4])
def test_logprobs_of_an_echoed_prompt_are_those_of_a_plain_recomputation(
    driver: Driver, plain: Plain, max_tokens: int
) -> None:
    text = "One day Ada found a lamp. " * 4
    driver.ask(prompt=text, max_tokens=1)  # what the cache holds must not matter
    other = driver.submit(messages=COUNT)
    job = driver.ask(prompt=text, echo=True, logprobs=2, max_tokens=max_tokens)
    assert other.text == TEN
    choice = job.result["choices"][0]
    tokens = plain.tokenizer.encode(text, add_special_tokens=False).ids
    entries = choice["logprobs"]
    assert len(entries) == len(tokens) + max_tokens
    assert entries[0]["logprob"] is None
    rows = plain.logprobs(tokens)
    for i, entry in enumerate(entries[1 : len(tokens)]):
        assert entry["logprob"] == pytest.approx(rows[i][tokens[i + 1]], abs=ROUNDING)
        assert entry["top"][0]["logprob"] == pytest.approx(rows[i].max(), abs=ROUNDING)
    for entry in entries:
        assert choice["text"].startswith(entry["token"], entry["offset"]) or not entry["token"].isascii()
    assert choice["text"][: len(text)] == text


def test_logprobs_of_tokens_that_a_stop_string_cut_off_are_not_told(driver: Driver) -> None:
    choice = driver.ask(messages=COUNT, stop=["4, 5"], logprobs=0).result["choices"][0]
    assert choice["text"] == "1, 2, 3, "
    assert "".join(entry["token"] for entry in choice["logprobs"]).startswith("1, 2, 3,")
    assert all(entry["offset"] < len(choice["text"]) for entry in choice["logprobs"])
    assert all(math.isfinite(entry["logprob"]) and not entry["top"] for entry in choice["logprobs"])
