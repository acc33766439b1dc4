"""Choosing a token from logits, in numpy; the steps and their order are those of llama.cpp's default chain.

bias → penalties → top_k → top_p → min_p → temperature → a draw. Arithmetic is in float32, as there.
"""

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from infsup.protocol.errors import EngineFailure, InvalidRequest

from .masks import ban
from .model import Sampling

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.intp]

_GAP = np.float32(10)
"""Tokens this far below the best are looked at only when there are fewer than `top_k` above."""


class Sampler:
    """Chooses tokens for one answer; the same seed and logits give the same tokens."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int], logits: Callable[[], Floats]) -> None:
        """`logits` returns an array of shape [vocabulary] for the last position, which is changed here."""
        self._sampling = sampling
        self._logits = logits
        self._random = np.random.Generator(np.random.PCG64(sampling.seed))
        self._penalties = Penalties(sampling, prompt)
        self._biased: Ids = np.fromiter(sampling.bias.keys(), np.intp)
        self._bias: Floats = np.fromiter(sampling.bias.values(), np.float32)

    def sample(self, mask: bytes | None = None) -> int:
        """Choose a token and remember it; `mask` is a `Constraint`'s.

        Raises `EngineFailure` when the logits are no numbers, `InvalidRequest` when `logit_bias` bans all of the mask.
        """
        logits = self._logits()
        if mask is not None:
            ban(logits, mask)
        if self._biased.size:
            logits[self._biased] += self._bias
        self._penalties.apply(logits)
        best = int(logits.argmax())
        if not np.isfinite(logits[best]):
            if mask is not None and self._biased.size:
                raise InvalidRequest(
                    "logit_bias: found all tokens banned that the answer's grammar allows here", param="logit_bias"
                )
            raise EngineFailure("the model's logits are no finite numbers")
        token = best if self._sampling.temperature == 0 else self._draw(logits)
        self._penalties.accept(token)
        return token

    def close(self) -> None:
        """Nothing to give back."""

    def _draw(self, logits: Floats) -> int:
        ids, weights = candidates(logits, self._sampling)
        return int(ids[draw(weights, self._random.random())])


class Penalties:
    """Makes tokens of the last `repeat_last_n` less likely."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int]) -> None:
        """`prompt` is what precedes the answer."""
        self._sampling = sampling
        self._window: deque[int] | None = None
        if sampling.penalises:
            self._window = deque(prompt[-sampling.repeat_last_n :], sampling.repeat_last_n)
        self._counts = Counter(self._window or ())

    def accept(self, token: int) -> None:
        """Add a token to the window; the oldest leaves a full one."""
        if self._window is None:
            return
        if len(self._window) == self._window.maxlen:
            oldest = self._window[0]
            self._counts[oldest] -= 1
            if not self._counts[oldest]:
                del self._counts[oldest]
        self._window.append(token)
        self._counts[token] += 1

    def apply(self, logits: Floats) -> None:
        """Change the logits in place."""
        if not self._counts:
            return
        how = self._sampling
        ids = np.fromiter(self._counts.keys(), np.intp, len(self._counts))
        counts = np.fromiter(self._counts.values(), np.float32, len(self._counts))
        values = logits[ids]
        repeat = np.float32(how.repeat_penalty)
        values = np.where(values <= 0, values * repeat, values / repeat)
        values -= counts * np.float32(how.frequency_penalty) + np.float32(how.presence_penalty)
        logits[ids] = values


def candidates(logits: Floats, sampling: Sampling) -> tuple[Ids, Floats]:
    """Return the tokens that top_k, top_p and min_p leave, best first, and their shares at the temperature.

    The best token is always among them; tokens at minus infinity never are.
    """
    ids = best(logits, sampling.top_k, sampling.top_p)
    kept = logits[ids]
    order = (-kept).argsort(kind="stable")
    ids, kept = ids[order], kept[order]
    kept -= kept[0]
    if sampling.top_p < 1:
        mass = shares(kept).cumsum()
        count = int(mass.searchsorted(np.float32(sampling.top_p))) + 1
        ids, kept = ids[:count], kept[:count]
    if sampling.min_p > 0:
        count = int(np.count_nonzero(kept >= np.float32(math.log(sampling.min_p))))
        ids, kept = ids[:count], kept[:count]
    return ids, shares(kept / np.float32(sampling.temperature))


def best(logits: Floats, k: int, top_p: float) -> Ids:
    """Return the ids of the `k` best tokens in no order; k = 0 returns all that `top_p` could leave."""
    top = logits.max()
    if k:
        near = (logits > top - _GAP).nonzero()[0]
        pool = near if len(near) >= k else (logits > -np.inf).nonzero()[0]
        if len(pool) <= k:
            return pool
        return pool[logits[pool].argpartition(len(pool) - k)[len(pool) - k :]]
    finite = (logits > -np.inf).nonzero()[0]
    if top_p == 1:
        return finite
    # Those below this share sum to less than what top_p cuts off.
    return finite[shares(logits[finite] - top) >= np.float32((1 - top_p) / (2 * len(finite)))]


def shares(logits: Floats) -> Floats:
    """Return what each token has of a total of 1; the best logit has to be 0."""
    weights: Floats = np.exp(logits)
    weights /= weights.sum()
    return weights


def draw(weights: Floats, at: float) -> int:
    """Return the index at which the running sum of the weights passes `at` (0 to 1) of their total."""
    total: npt.NDArray[np.float64] = weights.astype(np.float64).cumsum()
    return min(int(total.searchsorted(at * float(total[-1]), side="right")), len(weights) - 1)
