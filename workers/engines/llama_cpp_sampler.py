"""A chain of llama.cpp's samplers for one answer."""

from collections.abc import Sequence
from typing import Any

from infsup.workers.generation.model import Sampling

from .llama_cpp_context import LlamaContext

_SEEDS = 2**32 - 1
"""llama.cpp takes 32 bits, of which the last value means "random"."""


class ChainSampler:
    """Bias → penalties → top_k → top_p → min_p → temperature → a draw; or the best token at temperature 0."""

    def __init__(self, context: LlamaContext, size: int, sampling: Sampling, *, prompt: Sequence[int]) -> None:
        """`size` is that of the vocabulary, `prompt` what the penalties see at first."""
        library = context.library
        self._library, self._context = library, context.context
        self._chain = library.llama_sampler_chain_init(library.llama_sampler_chain_default_params())
        for sampler in _samplers(library, size, sampling, prompt):
            library.llama_sampler_chain_add(self._chain, sampler)

    def sample(self, at: int) -> int:
        """Choose a token by the logits at this index of the last batch, and remember it for the penalties."""
        token: int = self._library.llama_sampler_sample(self._chain, self._context, at)
        return token

    def close(self) -> None:
        """Free the chain; harmless when called twice."""
        if self._chain:
            self._library.llama_sampler_free(self._chain)
            self._chain = None


def _samplers(library: Any, size: int, sampling: Sampling, prompt: Sequence[int]) -> list[Any]:
    """Return the samplers in order; the chain owns them."""
    chain: list[Any] = []
    if sampling.bias:
        entries = (library.llama_logit_bias * len(sampling.bias))()
        for entry, (token, bias) in zip(entries, sampling.bias.items(), strict=True):
            entry.token, entry.bias = token, bias
        chain.append(library.llama_sampler_init_logit_bias(size, len(entries), entries))
    if sampling.penalises:
        last_n = sampling.repeat_last_n
        penalties = library.llama_sampler_init_penalties(
            size, last_n, sampling.repeat_penalty, sampling.frequency_penalty, sampling.presence_penalty
        )
        for token in prompt[-last_n:]:
            library.llama_sampler_accept(penalties, token)
        chain.append(penalties)
    if sampling.temperature == 0:
        return [*chain, library.llama_sampler_init_greedy()]
    if sampling.top_k > 0:
        chain.append(library.llama_sampler_init_top_k(sampling.top_k))
    if sampling.top_p < 1:
        chain.append(library.llama_sampler_init_top_p(sampling.top_p, 1))
    if sampling.min_p > 0:
        chain.append(library.llama_sampler_init_min_p(sampling.min_p, 1))
    chain.append(library.llama_sampler_init_temp(sampling.temperature))
    chain.append(library.llama_sampler_init_dist(sampling.seed % _SEEDS))
    return chain
