"""Invariants of sampling, for any logits."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from infsup.workers.generation.model import Sampling
from infsup.workers.generation.sampler import Floats, Sampler, candidates, draw

LOGITS = st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=60).map(lambda x: np.array(x, np.float32))
SHARE = st.floats(0, 1, width=32)


def reference(logits: Floats, sampling: Sampling) -> list[int]:
    """The same filters, one after the other and without tricks, in float64."""
    ids = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    if sampling.top_k:
        ids = ids[: sampling.top_k]
    exact = logits.astype(np.float64)
    if sampling.top_p < 1:
        weights = np.exp(exact[ids] - exact[ids].max())
        mass = np.cumsum(weights / weights.sum())
        ids = ids[: int(np.count_nonzero(mass < sampling.top_p - 1e-6)) + 1]
    if sampling.min_p > 0:
        ids = [i for i in ids if exact[i] - exact[ids[0]] >= np.log(sampling.min_p) + 1e-4 or i == ids[0]]
    return ids


@settings(derandomize=True, deadline=None, max_examples=300)
@given(LOGITS, st.integers(0, 70), SHARE, SHARE)
def test_candidates_are_what_the_plain_filters_leave(logits: Floats, k: int, top_p: float, min_p: float) -> None:
    sampling = Sampling(top_k=k, top_p=top_p, min_p=min_p)
    ids, weights = candidates(logits, sampling)
    expected = reference(logits, sampling)
    values = logits[ids]
    assert len(ids) >= 1
    assert list(values) == sorted(values, reverse=True)
    assert not k or len(ids) <= k
    # Rounding may move the borders of top_p and min_p by a token, ties may be broken either way; the values agree.
    shorter = min(len(expected), len(ids))
    assert list(values[:shorter]) == list(logits[expected[:shorter]])
    assert abs(len(expected) - len(ids)) <= max(1, int(np.count_nonzero(np.isclose(logits, values[-1], atol=1e-3))))
    assert np.isclose(weights.sum(), 1, atol=1e-4)


@settings(derandomize=True, deadline=None)
@given(LOGITS, st.integers(0, 2**64 - 1), st.floats(0.125, 5, width=32))
def test_sampler_banned_tokens_never_come(logits: Floats, seed: int, temperature: float) -> None:
    banned = {i: -np.inf for i in range(len(logits)) if i % 2}
    sampling = Sampling(temperature=temperature, seed=seed, bias=banned, top_k=0, top_p=1, min_p=0)
    sampler = Sampler(sampling, (), logits.copy)
    assert not banned.keys() & {sampler.sample() for _ in range(5)}


@settings(derandomize=True, deadline=None)
@given(LOGITS, st.integers(0, 2**64 - 1))
def test_sampler_cold_is_greedy(logits: Floats, seed: int) -> None:
    greedy = Sampler(Sampling(temperature=0), (), logits.copy).sample()
    cold = Sampler(Sampling(temperature=1e-6, seed=seed), (), logits.copy).sample()
    assert np.isclose(logits[cold], logits[greedy], atol=1e-3)


@settings(derandomize=True, deadline=None)
@given(LOGITS, st.floats(0, 1, exclude_max=True))
def test_draw_takes_only_tokens_with_a_share(logits: Floats, at: float) -> None:
    weights = np.where(logits > 0, logits, np.float32(0))
    if weights.sum() > 0:
        assert weights[draw(weights, at)] > 0
