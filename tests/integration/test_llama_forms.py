"""Forms and tools on the engine `llama-cpp`: masks beside all that its samplers can do, and beside other jobs."""

import json
import math
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from infsup.protocol.errors import InvalidRequest

from .llama_harness import Driver, driving

pytestmark = pytest.mark.llama

COUNT = [{"role": "user", "content": "Count to 10."}]
TEN = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10."
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"mood": {"enum": ["good", "bad"]}, "ages": {"type": "array", "items": {"type": "integer"}}},
    "required": ["mood", "ages"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "rill", "parameters": SCHEMA}}
HOT: dict[str, Any] = {"temperature": 1.5, "top_k": 0, "top_p": 1, "min_p": 0, "max_tokens": 400}


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with driving(parallel=4, grammars={"mood": 'root ::= "good" | "bad"'}) as made:
        yield made


@pytest.mark.parametrize(
    "how",
    [
        {}, {"temperature": 0}, {"typical_p": 0.3}, {"top_n_sigma": 0.5}, {"mirostat": 1}, {"mirostat": 2},
        {"xtc_probability": 1.0, "xtc_threshold": 0.05}, {"dynatemp_range": 1.0}, {"dry_multiplier": 2.0},
        {"repeat_penalty": 1.5, "presence_penalty": 1}, {"top_k": 40, "top_p": 0.9, "min_p": 0.1}, {"min_tokens": 12},
    ],
)  # fmt: skip
def test_form_is_held_however_tokens_are_chosen(driver: Driver, how: dict[str, Any]) -> None:
    jobs = [driver.submit(messages=COUNT, guided_json=SCHEMA, **(HOT | {"seed": seed} | how)) for seed in range(4)]
    driver.finish()
    for job in jobs:
        if job.result["choices"][0]["finish_reason"] == "stop":
            jsonschema.validate(json.loads(job.text), SCHEMA)
        else:
            assert job.text.startswith('{"')
    assert how.get("temperature") != 0 or len({job.text for job in jobs}) == 1


def test_form_holds_only_the_answer_that_asked_for_it(driver: Driver) -> None:
    free = [driver.submit(messages=COUNT) for _ in range(2)]
    held = driver.submit(messages=COUNT, grammar="mood")
    driver.finish()
    assert [job.text for job in free] == [TEN, TEN]
    assert held.text in {"good", "bad"}
    assert held.result["choices"][0]["finish_reason"] == "stop"


def test_form_leaves_logprobs_as_the_model_has_them(driver: Driver) -> None:
    free = driver.ask(messages=COUNT, max_tokens=1, logprobs=3).result["choices"][0]["logprobs"][0]
    entry = driver.ask(messages=COUNT, grammar="mood", logprobs=3).result["choices"][0]["logprobs"][0]
    assert entry["top"][0]["logprob"] == pytest.approx(free["top"][0]["logprob"], abs=0.02)
    assert math.isfinite(entry["logprob"])
    assert entry["logprob"] < free["logprob"]


def test_form_with_several_answers_keeps_the_best(driver: Driver) -> None:
    job = driver.ask(messages=COUNT, guided_choice=["one", "two"], best_of=4, n=2, **HOT)
    assert [choice["text"] in {"one", "two"} for choice in job.result["choices"]] == [True, True]


def test_form_that_the_bias_makes_impossible_ends_this_job_alone(driver: Driver) -> None:
    other = driver.submit(messages=COUNT)
    job = driver.ask(messages=COUNT, guided_regex="x", logit_bias={"x": -100}, n=2)
    assert isinstance(job.last, InvalidRequest)
    assert job.last.param == "logit_bias"
    assert other.text == TEN


def test_tool_that_is_required_is_called(driver: Driver) -> None:
    job = driver.ask(messages=COUNT, tools=[TOOL], tool_choice="required", temperature=0)
    (choice,) = job.result["choices"]
    assert choice["finish_reason"] == "tool_calls"
    jsonschema.validate(json.loads(choice["tool_calls"][0]["arguments"]), SCHEMA)


def test_tool_that_is_there_does_not_change_other_answers(driver: Driver) -> None:
    (choice,) = driver.ask(messages=COUNT, tools=[TOOL], tool_choice="none").result["choices"]
    assert choice["text"] == TEN
    assert "tool_calls" not in choice
