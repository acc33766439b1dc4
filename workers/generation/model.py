"""What a text engine provides to the shared decoding loop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from infsup.workers.engine import JobContext

from .template import ChatTemplate
from .vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose tokens: `TextParams` with everything resolved.

    `bias` is added to the logits (minus infinity for a banned token), `repeat_last_n` counts tokens (0 = none).
    `seed` is 0 to 2^64 - 1, `top_k` 0 = off, `temperature` 0 = the best token. `end_tokens` are impossible for the
    first `min_tokens`. What engines do not have is left alone by them: `read_params` refuses it before.
    """

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int = 0
    bias: Mapping[int, float] = field(default_factory=dict[int, float])
    typical_p: float = 1.0
    top_n_sigma: float = 0.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = 0
    dry_sequence_breakers: tuple[str, ...] = ()
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    min_tokens: int = 0
    end_tokens: frozenset[int] = frozenset()

    @property
    def penalises(self) -> bool:
        """Whether any penalty has an effect."""
        on = self.repeat_penalty != 1 or self.frequency_penalty != 0 or self.presence_penalty != 0
        return on and self.repeat_last_n > 0


class TokenSampler(Protocol):
    """Chooses tokens for one answer."""

    def sample(self, mask: bytes | None = None) -> int:
        """Choose a token by the logits of the last position and remember it for the penalties.

        `mask` is a `Constraint`'s: only these tokens may be chosen.
        """
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class PromptModel(Protocol):
    """What has to be known of a model to turn a request into tokens.

    `template` is None when the model has none and `no_template` then says why. `context_size` is what one sequence
    may hold, in tokens.
    """

    vocabulary: Vocabulary
    template: ChatTemplate | None
    no_template: str
    context_size: int


class TextModel(PromptModel, Protocol):
    """One model with one sequence of tokens in its context; what is not the model's is shared by all engines."""

    @property
    def used(self) -> int:
        """How many tokens the context holds."""
        ...

    def start(self, context: JobContext) -> None:
        """Get ready for a job: register the abort hook."""
        ...

    def read(self, tokens: Sequence[int], context: JobContext) -> int:
        """Make `tokens` (at least one, fewer than `context_size`) the content of the context.

        Returns how many of its first tokens were there already. Checks for cancellation and counts progress
        between batches.
        """
        ...

    def sampler(self, sampling: Sampling, prompt: Sequence[int]) -> TokenSampler:
        """Return a sampler; `prompt` is what the penalties see at first."""
        ...

    def advance(self, token: int, context: JobContext) -> None:
        """Append a token to the context."""
        ...

    def close(self) -> None:
        """Give the model back; nothing else is called afterwards."""
        ...
