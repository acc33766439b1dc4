"""A chain of llama.cpp's samplers for one answer."""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from infsup.protocol.errors import InvalidRequest
from infsup.workers.generation.masks import allowed
from infsup.workers.generation.model import Sampling

from .llama_cpp_context import LlamaContext

_SEEDS = 2**32 - 1
"""llama.cpp takes 32 bits, of which the last value means "random"."""
_MIROSTAT_TOKENS = 100
"""How many of the likeliest tokens mirostat 1 estimates from; the value of its paper and of llama.cpp."""


class ChainSampler:
    """The order is that of llama.cpp's own server.

    mask → end tokens → bias → penalties → DRY → top_n_sigma → top_k → typical_p → top_p → min_p → XTC →
    temperature → a draw; or temperature → mirostat; or, at temperature 0, the best token after the penalties.
    """

    def __init__(self, context: LlamaContext, size: int, sampling: Sampling, *, prompt: Sequence[int]) -> None:
        """`size` is that of the vocabulary, `prompt` what the penalties see at first."""
        library = context.library
        self._sample: Callable[[Any, Any, int], int] = library.llama_sampler_sample
        self._library, self._context, self._size = library, context, size
        self._chain: Any = library.llama_sampler_chain_init(library.llama_sampler_chain_default_params())
        self._endless = sampling.min_tokens if sampling.end_tokens else 0
        self._ends = list(sampling.end_tokens)
        self._banned = [token for token, bias in sampling.bias.items() if bias == float("-inf")]
        try:
            for sampler in _Samplers(context, size, sampling, prompt).all():
                library.llama_sampler_chain_add(self._chain, sampler)
        except BaseException:
            self.close()
            raise

    def sample(self, at: int, mask: bytes | None = None) -> int:
        """Choose a token by the logits at this index of the last batch, and remember it for the penalties.

        `mask` is a `Constraint`'s. Raises `InvalidRequest` when the request itself bans all that it allows.
        """
        token = self._sample(self._chain, self._context.context, at) if mask is None else self._sample_of(at, mask)
        if self._endless:
            self._endless -= 1
            if not self._endless:  # from now on it may end: the ban is the first of the chain
                self._library.llama_sampler_free(self._library.llama_sampler_chain_remove(self._chain, 0))
        return token

    def _sample_of(self, at: int, mask: bytes) -> int:
        """Choose among the tokens of a mask: the chain sees no others, for some samplers fail at minus infinity."""
        passes = allowed(mask, self._size)
        passes[self._banned] = False
        if self._endless:
            passes[self._ends] = False
        ids = passes.nonzero()[0]
        if not len(ids):
            field = "logit_bias" if self._banned else "min_tokens"
            raise InvalidRequest(f"{field}: found all tokens banned that the answer's grammar allows here", param=field)
        library = self._library
        kinds: dict[str, Any] = dict(library.llama_token_data_array._fields_)
        candidates = np.zeros(len(ids), np.dtype(library.llama_token_data))
        candidates["id"], candidates["logit"] = ids, self._context.logits(at, self._size)[ids]
        array: Any = library.llama_token_data_array(
            data=ctypes.cast(candidates.ctypes.data, kinds["data"]), size=len(ids), selected=-1, sorted=False
        )
        library.llama_sampler_apply(self._chain, ctypes.byref(array))
        token = int(array.data[array.selected].id)
        library.llama_sampler_accept(self._chain, token)
        return token

    def close(self) -> None:
        """Free the chain; harmless when called twice."""
        if self._chain:
            self._library.llama_sampler_free(self._chain)
            self._chain = None


class _Samplers:
    """Makes the samplers of one chain, which comes to own them."""

    def __init__(self, context: LlamaContext, size: int, sampling: Sampling, prompt: Sequence[int]) -> None:
        self._library = context.library
        self._vocab = self._library.llama_model_get_vocab(context.model)
        self._size = size
        self._how = sampling
        self._prompt = prompt

    def all(self) -> Iterator[Any]:
        """Yield them in order."""
        yield from self._allowed()
        yield from self._penalties()
        yield from self._draw()

    def _allowed(self) -> Iterator[Any]:
        how = self._how
        if how.min_tokens and how.end_tokens:
            yield self._bias(dict.fromkeys(how.end_tokens, float("-inf")))
        if how.bias:
            yield self._bias(how.bias)

    def _bias(self, bias: Any) -> Any:
        entries = (self._library.llama_logit_bias * len(bias))()
        for entry, (token, value) in zip(entries, bias.items(), strict=True):
            entry.token, entry.bias = token, value
        return self._library.llama_sampler_init_logit_bias(self._size, len(entries), entries)

    def _penalties(self) -> Iterator[Any]:
        how, library = self._how, self._library
        if how.penalises:
            last_n = how.repeat_last_n
            yield self._told(
                library.llama_sampler_init_penalties(
                    self._size, last_n, how.repeat_penalty, how.frequency_penalty, how.presence_penalty
                ),
                last_n,
            )
        if how.dry_multiplier > 0 and how.dry_penalty_last_n > 0:
            yield self._told(self._dry(), how.dry_penalty_last_n)

    def _dry(self) -> Any:
        how = self._how
        breakers = (ctypes.c_char_p * len(how.dry_sequence_breakers))(
            *(text.encode() for text in how.dry_sequence_breakers)
        )
        return self._library.llama_sampler_init_dry(
            self._vocab,
            how.dry_multiplier,
            how.dry_base,
            how.dry_allowed_length,
            how.dry_penalty_last_n,
            breakers,
            len(breakers),
        )

    def _told(self, sampler: Any, last_n: int) -> Any:
        """Show a sampler the end of the prompt."""
        for token in self._prompt[-last_n:]:
            self._library.llama_sampler_accept(sampler, token)
        return sampler

    def _draw(self) -> Iterator[Any]:
        how, library = self._how, self._library
        seed = how.seed % _SEEDS
        if how.temperature == 0:
            yield library.llama_sampler_init_greedy()
        elif how.mirostat == 1:
            yield library.llama_sampler_init_temp(how.temperature)
            yield library.llama_sampler_init_mirostat(
                self._size, seed, how.mirostat_tau, how.mirostat_eta, _MIROSTAT_TOKENS
            )
        elif how.mirostat == 2:
            yield library.llama_sampler_init_temp(how.temperature)
            yield library.llama_sampler_init_mirostat_v2(seed, how.mirostat_tau, how.mirostat_eta)
        else:
            yield from self._filters(seed)
            if how.dynatemp_range > 0:
                yield library.llama_sampler_init_temp_ext(how.temperature, how.dynatemp_range, how.dynatemp_exponent)
            else:
                yield library.llama_sampler_init_temp(how.temperature)
            yield library.llama_sampler_init_dist(seed)

    def _filters(self, seed: int) -> Iterator[Any]:
        how, library = self._how, self._library
        if how.top_n_sigma > 0:
            yield library.llama_sampler_init_top_n_sigma(how.top_n_sigma)
        if how.top_k > 0:
            yield library.llama_sampler_init_top_k(how.top_k)
        if how.typical_p < 1:
            yield library.llama_sampler_init_typical(how.typical_p, 1)
        if how.top_p < 1:
            yield library.llama_sampler_init_top_p(how.top_p, 1)
        if how.min_p > 0:
            yield library.llama_sampler_init_min_p(how.min_p, 1)
        if how.xtc_probability > 0:
            yield library.llama_sampler_init_xtc(how.xtc_probability, how.xtc_threshold, 1, seed)
