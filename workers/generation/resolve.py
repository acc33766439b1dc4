"""From a request's parameters to what a sampler needs."""

import math
import secrets

from infsup.protocol.errors import InvalidRequest

from .model import Sampling
from .params import BAN, TextParams
from .vocabulary import Vocabulary

_SEEDS = 2**64
_COLD = 1e-6
"""Below this temperature the best token is taken: dividing by it overflows."""


def resolve_sampling(params: TextParams, vocabulary: Vocabulary, context_size: int) -> Sampling:
    """Resolve texts to tokens, -1 to the context, no seed to a random one. Raises `InvalidRequest`."""
    return Sampling(
        temperature=0.0 if params.temperature < _COLD else params.temperature,
        top_k=min(params.top_k, len(vocabulary.pieces)),
        top_p=params.top_p,
        min_p=params.min_p,
        repeat_penalty=params.repeat_penalty,
        repeat_last_n=_last_n(params.repeat_last_n, context_size),
        frequency_penalty=params.frequency_penalty,
        presence_penalty=params.presence_penalty,
        seed=secrets.randbelow(2**32) if params.seed is None else params.seed % _SEEDS,
        bias=resolve_bias(params, vocabulary),
        typical_p=params.typical_p,
        top_n_sigma=params.top_n_sigma,
        xtc_probability=params.xtc_probability,
        xtc_threshold=params.xtc_threshold,
        dry_multiplier=params.dry_multiplier,
        dry_base=params.dry_base,
        dry_allowed_length=min(params.dry_allowed_length, context_size),
        dry_penalty_last_n=_last_n(params.dry_penalty_last_n, context_size),
        dry_sequence_breakers=params.dry_sequence_breakers,
        mirostat=params.mirostat,
        mirostat_tau=params.mirostat_tau,
        mirostat_eta=params.mirostat_eta,
        dynatemp_range=params.dynatemp_range,
        dynatemp_exponent=params.dynatemp_exponent,
        min_tokens=params.min_tokens,
        end_tokens=vocabulary.end_tokens,
    )


def _last_n(count: int, context_size: int) -> int:
    return context_size if count < 0 else min(count, context_size)


def resolve_bias(params: TextParams, vocabulary: Vocabulary) -> dict[int, float]:
    """Return the bias of each token; end tokens are banned with `ignore_eos`. Raises `InvalidRequest`."""
    size = len(vocabulary.pieces)
    bias: dict[int, float] = {}
    for key, value in params.logit_bias.items():
        tokens = [key] if isinstance(key, int) else vocabulary.encode(key, special=True)
        for token in tokens:
            if not 0 <= token < size:
                raise InvalidRequest(
                    f"logit_bias: found token {str(token)[:40]}, allowed are 0 to {size - 1}", param="logit_bias"
                )
            bias[token] = -math.inf if value <= BAN else value
    if params.ignore_eos:
        bias |= dict.fromkeys(vocabulary.end_tokens, -math.inf)
    if sum(value == -math.inf for value in bias.values()) >= size:
        raise InvalidRequest("logit_bias: all tokens are banned, at least one has to be allowed", param="logit_bias")
    return bias
