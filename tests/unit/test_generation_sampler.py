"""The numpy sampler: greedy choices, penalties, seeds."""

from collections.abc import Sequence

import numpy as np
import pytest

from infsup.protocol.errors import EngineFailure
from infsup.workers.generation.model import Sampling
from infsup.workers.generation.sampler import Floats, Sampler

LOGITS = [1.0, 3.0, 2.0, -1.0]


def tokens(
    sampling: Sampling, count: int = 1, prompt: Sequence[int] = (), logits: Sequence[float] = LOGITS
) -> list[int]:
    def fresh() -> Floats:
        return np.array(logits, np.float32)

    sampler = Sampler(sampling, prompt, fresh)
    return [sampler.sample() for _ in range(count)]


def test_sampler_greedy_takes_the_best_and_the_first_of_equals() -> None:
    assert tokens(Sampling(temperature=0), 3) == [1, 1, 1]
    assert tokens(Sampling(temperature=0), logits=[0, 5, 5]) == [1]


def test_sampler_bias_counts_before_the_choice() -> None:
    assert tokens(Sampling(temperature=0, bias={1: -np.inf})) == [2]
    assert tokens(Sampling(temperature=0, bias={3: 10.0})) == [3]


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(temperature=0, presence_penalty=1.5), [1, 2, 1, 1]),
        (Sampling(temperature=0, frequency_penalty=0.6), [1, 1, 2, 1]),
        (Sampling(temperature=0, repeat_penalty=2.0), [1, 2, 1, 1]),
        (Sampling(temperature=0, repeat_penalty=2.0, repeat_last_n=1), [1, 2, 1, 2]),
        (Sampling(temperature=0, presence_penalty=2.0, repeat_last_n=0), [1, 1, 1, 1]),
    ],
)
def test_sampler_penalties_count_what_was_said(sampling: Sampling, expected: list[int]) -> None:
    assert tokens(sampling, 4) == expected


def test_sampler_penalties_see_the_end_of_the_prompt() -> None:
    assert tokens(Sampling(temperature=0, presence_penalty=2.0), prompt=[1]) == [2]
    assert tokens(Sampling(temperature=0, presence_penalty=2.0, repeat_last_n=1), prompt=[1, 0]) == [1]


def test_sampler_repeat_penalty_makes_negative_logits_smaller() -> None:
    assert tokens(Sampling(temperature=0, repeat_penalty=3.0), prompt=[0], logits=[-1, -2]) == [1]


def test_sampler_same_seed_same_tokens_other_seed_others() -> None:
    flat = [0.0] * 50
    first, same, other = (tokens(Sampling(seed=seed), 20, logits=flat) for seed in (1, 1, 2))
    assert first == same != other


@pytest.mark.parametrize("logits", [[np.nan, 1.0], [-np.inf, -np.inf]])
def test_sampler_logits_that_are_no_numbers_fail(logits: list[float]) -> None:
    with pytest.raises(EngineFailure, match="finite"):
        tokens(Sampling(), logits=logits)
