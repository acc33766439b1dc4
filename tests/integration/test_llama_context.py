"""Context reuse of the engine `llama-cpp`: less is read, and the answers are the same."""

import random
from typing import Any

import pytest

from infsup.protocol.errors import ContextLengthExceeded

from .llama_harness import Driver, driving

pytestmark = pytest.mark.llama

SYSTEM = {"role": "system", "content": "You are a helpful model. " * 12}
COUNT = {"role": "user", "content": "Count to 10."}


def words(text: str) -> list[dict[str, str]]:
    return [SYSTEM, {"role": "user", "content": text}]


def test_context_second_turn_reads_only_what_is_new() -> None:
    with driving(parallel=2) as driver:
        first = driver.ask(messages=[SYSTEM, COUNT])
        other = driver.ask(messages=[{"role": "user", "content": "Spell banana."}])
        second = driver.ask(
            messages=[SYSTEM, COUNT, {"role": "assistant", "content": first.text}, {"role": "user", "content": "2+2?"}]
        )
        assert other.usage["cached_tokens"] < 10
        assert second.usage["cached_tokens"] >= first.usage["prompt_tokens"] + first.usage["completion_tokens"] - 1


@pytest.mark.parametrize("parallel", [1, 3])
def test_context_preloaded_messages_are_there_for_every_request_for_ever(parallel: int) -> None:
    texts = ["Count to 10.", "Spell banana.", "What is 7 + 5?", "Say 'hello world'."]
    with driving(parallel=parallel) as plain:
        expected = {text: plain.ask(messages=words(text)).text for text in texts}
    with driving(parallel=parallel, preload={"messages": [SYSTEM]}) as driver:
        for _ in range(3):
            jobs = {text: driver.submit(messages=words(text)) for text in texts}
            noise = [driver.submit(prompt=f"{number} noise " * 50, max_tokens=3) for number in range(4)]
            driver.finish()
            assert all(job.usage["completion_tokens"] for job in noise)
            for text, job in jobs.items():
                assert job.text == expected[text]
                assert job.usage["cached_tokens"] > 60


def test_context_preloaded_prefix_serves_completions() -> None:
    prefix = "All of this is said before. " * 5
    with driving(preload={"prefix": prefix}) as driver, driving() as plain:
        job = driver.ask(prompt=prefix + "Once", max_tokens=20)
        assert job.usage["cached_tokens"] > job.usage["prompt_tokens"] - 8
        assert job.text == plain.ask(prompt=prefix + "Once", max_tokens=20).text


def test_context_preload_takes_nothing_from_a_sequences_size() -> None:
    with driving(parallel=2, context_size=128, preload={"prefix": "word " * 40}) as driver:
        jobs = [driver.submit(prompt=f"{n} x", ignore_eos=True, max_tokens=1000) for n in range(4)]
        driver.finish()
        for job in jobs:
            assert job.usage["prompt_tokens"] + job.usage["completion_tokens"] == 128


def test_context_random_prefixes_change_no_answer() -> None:
    """Prompts that share beginnings of all lengths, in caches of all sizes: copied, cut, evicted, preloaded."""
    rng = random.Random(5)
    stem = "one two three four five six seven eight nine ten " * 4
    prompts = [stem[: rng.randrange(1, len(stem))] + rng.choice(["Once", "The", "12", ""]) for _ in range(24)]
    with driving() as plain:
        expected = {prompt: plain.ask(prompt=prompt, max_tokens=6).text for prompt in prompts}
    specs: list[dict[str, Any]] = [
        {"parallel": 3},
        {"parallel": 3, "context_size": 160, "options": {"kv_cells": 200}},
        {"parallel": 4, "preload": {"prefix": stem[:60]}, "options": {"prefill_chunk": 5}},
    ]
    for spec in specs:
        with driving(**spec) as driver:
            for _ in range(3):
                jobs = [(prompt, driver.submit(prompt=prompt, max_tokens=6)) for prompt in rng.sample(prompts, 12)]
                driver.finish()
                assert all(job.text == expected[prompt] for prompt, job in jobs)


def ask_too_much(driver: Driver) -> Any:
    turns = [
        {"role": role, "content": f"{n} words and more words"} for n in range(20) for role in ("user", "assistant")
    ]
    return driver.ask(messages=[{"role": "system", "content": "Hi"}, *turns, COUNT], max_tokens=40)


def test_context_shift_makes_long_chats_go_on() -> None:
    with driving(context_size=256) as driver, pytest.raises(ContextLengthExceeded):
        ask_too_much(driver)
    for how in ("drop-oldest", "truncate-middle"):
        with driving(context_size=256, options={"context_shift": how}) as driver:
            job = ask_too_much(driver)
            assert 150 <= job.usage["prompt_tokens"] <= 216
            assert job.usage["completion_tokens"] > 0
