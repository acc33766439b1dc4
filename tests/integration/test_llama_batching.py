"""Continuous batching of the engine `llama-cpp`: whatever runs together, every answer is the one it would be alone."""

import json
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infsup.protocol.errors import EngineFailure
from infsup.workers.engine import JobCancelled

from .llama_harness import ROOT, Driver, Going, as_written, driving

pytestmark = pytest.mark.llama

AGREEMENT: list[dict[str, Any]] = json.loads((ROOT / "tests" / "data" / "agreement_prompts.json").read_text())
COUNT = [{"role": "user", "content": "Count to 10."}]
TEN = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10."


def params_of(item: dict[str, Any]) -> dict[str, Any]:
    return {name: item[name] for name in ("messages", "prompt", "tools") if name in item}


def returning(driver: Driver, status: int) -> Callable[[Any, Any], int]:
    """Return a decode that does its work and says something else."""
    decode: Callable[[Any, Any], int] = vars(driver.context)["_decode"]

    def say(raw: Any, batch: Any) -> int:
        decode(raw, batch)
        return status

    return say


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with driving(parallel=4) as made:
        yield made


@pytest.mark.parametrize("parallel", [1, 4, 8])
def test_batching_changes_no_greedy_text(parallel: int) -> None:
    with driving(parallel=parallel, batch_size=64, options={"prefill_chunk": 7}) as driver:
        jobs = [driver.submit(**params_of(item)) for item in AGREEMENT]
        driver.finish()
        said = [as_written(job.result["choices"][0]) for job in jobs]
        pairs = zip(said, (item["expected"] for item in AGREEMENT), strict=True)
        assert [pair for pair in pairs if pair[0] != pair[1]] == []


def test_batching_two_hundred_random_interleavings_leak_nothing(driver: Driver) -> None:
    """Conversations that say secret words join, grow, leave and are cancelled at random steps."""
    rng = random.Random(4)
    items = [item for item in AGREEMENT if len(item["expected"]) < 60]
    alone = {index: driver.ask(**params_of(item), max_tokens=12).text for index, item in enumerate(items)}
    for _ in range(200):
        chosen = [rng.randrange(len(items)) for _ in range(rng.randint(2, 5))]
        jobs: list[Going] = []
        for index in chosen:
            jobs.append(driver.submit(**params_of(items[index]), max_tokens=12))
            for _ in range(rng.randrange(4)):
                driver.step()
            if rng.random() < 0.15:
                rng.choice(jobs).context.cancel()
        driver.finish()
        for index, job in zip(chosen, jobs, strict=True):
            assert isinstance(job.last, JobCancelled) or job.text == alone[index]


def test_batching_small_cache_makes_jobs_wait_and_all_are_right() -> None:
    with driving(parallel=4, context_size=256, options={"kv_cells": 256}) as driver:
        jobs = [driver.submit(messages=COUNT, max_tokens=60) for _ in range(12)]
        jobs += [driver.submit(prompt="word " * 150, max_tokens=100, ignore_eos=True)]
        jobs += [driver.submit(messages=COUNT) for _ in range(3)]  # these may fill the whole context
        driver.finish()
        assert {job.text for job in [*jobs[:12], *jobs[13:]]} == {TEN}
        assert jobs[12].usage["completion_tokens"] == 100


def test_batching_running_answers_get_a_token_in_every_step_beside_a_long_prompt() -> None:
    with driving(parallel=2, options={"prefill_chunk": 16}) as driver:
        stream = driver.submit(prompt="Once", ignore_eos=True, max_tokens=200)
        for _ in range(5):
            driver.step()
        before = len(stream.pieces)
        long = driver.submit(prompt="word " * 300, max_tokens=1)
        steps = 0
        while long.last is None:
            driver.step()
            steps += 1
        assert steps >= long.usage["prompt_tokens"] / 16
        assert sum(piece["tokens"] for piece in stream.pieces[before:]) >= steps - 4  # but for characters not whole yet
        driver.finish()
        assert stream.usage["completion_tokens"] == 200


def test_batching_same_prompts_at_once_are_read_once(driver: Driver) -> None:
    prompt = "all of these words are " + "the same " * 60
    jobs = [driver.submit(prompt=prompt, max_tokens=8) for _ in range(4)]
    driver.finish()
    read = [job.usage["prompt_tokens"] - job.usage["cached_tokens"] for job in jobs]
    assert sum(read) <= jobs[0].usage["prompt_tokens"] + 3
    assert len({job.text for job in jobs}) == 1


def test_batching_error_of_one_job_leaves_the_others_alone(driver: Driver) -> None:
    good = driver.submit(messages=COUNT)
    driver.step()
    with pytest.raises(Exception, match="temperature"):
        driver.submit(messages=COUNT, temperature=-1)
    assert driver.ask(messages=COUNT).text == TEN
    assert good.text == TEN


def test_batching_abort_of_one_rolls_the_others_back_and_they_go_on(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decode that was aborted is as if it had never been, for everyone in it."""
    decode: Callable[[Any, Any], int] = vars(driver.context)["_decode"]
    jobs = [driver.submit(messages=COUNT) for _ in range(3)]
    victims = iter([driver.submit(prompt="word " * 400, max_tokens=5) for _ in range(12)])
    statuses: list[int] = []

    def abort_some(raw: Any, batch: Any) -> int:
        if len(statuses) % 3 == 2 and (victim := next(victims, None)) is not None:
            victim.context.cancel()  # in the middle of a step: after those who were cancelled have been looked for
        statuses.append(decode(raw, batch))
        return statuses[-1]

    with monkeypatch.context() as patch:
        patch.setattr(driver.context, "_decode", abort_some)
        driver.finish()
    assert statuses.count(2) >= 5
    assert [job.text for job in jobs] == [TEN] * 3


def test_batching_cancelled_by_a_thread_ends_within_a_step(driver: Driver) -> None:
    for delay in (0.0, 0.001, 0.005, 0.02):
        stays = driver.submit(messages=COUNT)
        goes = driver.submit(prompt="word " * 500, ignore_eos=True, max_tokens=1000)
        timer = threading.Timer(delay, goes.context.cancel)
        timer.start()
        driver.finish()
        timer.join()
        assert isinstance(goes.last, JobCancelled)
        assert stays.text == TEN


def test_batching_failed_decode_fails_those_in_it_and_no_one_after(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [driver.submit(messages=COUNT) for _ in range(2)]
    driver.step()
    with monkeypatch.context() as patch:
        patch.setattr(driver.context, "_decode", returning(driver, -3))
        driver.step()
    assert all(isinstance(job.last, EngineFailure) for job in jobs)
    assert driver.ask(messages=COUNT).text == TEN


def test_batching_no_room_after_all_ends_one_and_serves_the_rest(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [driver.submit(messages=COUNT) for _ in range(2)]
    driver.step()
    with monkeypatch.context() as patch:
        patch.setattr(driver.context, "_decode", returning(driver, 1))
        driver.step()
    driver.finish()
    assert [type(job.last) is EngineFailure for job in jobs].count(True) == 1
    assert [job.text for job in jobs if not isinstance(job.last, Exception)] == [TEN]


def test_batching_choices_of_one_request_share_the_prompt(driver: Driver) -> None:
    job = driver.ask(prompt="Once " * 40, n=4, seed=1, temperature=3, top_k=0, top_p=1, min_p=0, max_tokens=12)
    texts = [choice["text"] for choice in job.result["choices"]]
    assert len(set(texts)) == 4
    assert [choice["index"] for choice in job.result["choices"]] == [0, 1, 2, 3]
    assert sorted(piece["index"] for piece in job.pieces if "finish_reason" in piece) == [0, 1, 2, 3]
    read = driver.report.count
    again = driver.ask(prompt="Twice " * 40, n=4, max_tokens=1)
    assert driver.report.count - read <= again.usage["prompt_tokens"] + 4


def test_batching_same_seed_same_text_whatever_else_runs(driver: Driver) -> None:
    def sampled() -> dict[str, Any]:
        return {"prompt": "Once", "seed": 7, "temperature": 1.5, "top_k": 50, "max_tokens": 20}

    alone = driver.ask(**sampled()).text
    among = driver.submit(**sampled())
    for seed in range(6):
        driver.step()
        driver.submit(prompt=f"Tell me {seed}", seed=seed, temperature=2, max_tokens=15)
    driver.finish()
    assert among.text == alone
