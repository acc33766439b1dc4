"""What generation has to know of a tokenizer, the same for every engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from .special import SpecialText

if TYPE_CHECKING:
    from infsup.workers.generation.grammar.guide import Guide


class Encode(Protocol):
    """Tokenises text without adding anything; only with `special` are control tokens recognised in it."""

    def __call__(self, text: str, *, special: bool) -> list[int]:
        """Return token ids."""
        ...


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer's tables.

    `pieces` are the bytes of each token (special ones have none), one for each logit of the model. `special`
    maps the text of control tokens to their ids. `end_tokens` end an answer. `bos` is put in front of a prompt
    when `adds_bos`. `names` are the texts of tokens that templates use (`bos_token`, `eos_token`, …).
    """

    pieces: Sequence[bytes]
    encode: Encode
    special: Mapping[str, int] = field(default_factory=dict[str, int])
    end_tokens: frozenset[int] = frozenset()
    bos: int | None = None
    adds_bos: bool = False
    names: Mapping[str, str] = field(default_factory=dict[str, str])

    @cached_property
    def control_texts(self) -> SpecialText:
        """The texts of control tokens, ready to be searched for."""
        return SpecialText(self.special)

    @cached_property
    def longest(self) -> int:
        """The bytes of the longest token."""
        texts = (len(text.encode()) for text in self.special)
        return max(1, max(map(len, self.pieces), default=0), max(texts, default=0))

    @cached_property
    def control_names(self) -> Mapping[int, str]:
        """The texts of control tokens by their ids."""
        return {token: text for text, token in self.special.items()}

    def shown(self, token: int) -> str:
        """Return a token's text to be shown: that of control tokens too, U+FFFD for parts of characters."""
        return self.pieces[token].decode(errors="replace") or self.control_names.get(token, "")

    @cached_property
    def guide(self) -> "Guide":
        """What holds answers to grammars; made when the first is asked for, which takes up to a second."""
        from infsup.workers.generation.grammar.guide import Guide  # noqa: PLC0415 - imports llguidance, which reads this

        return Guide(self)

    def encode_plain(self, text: str) -> list[int]:
        """Tokenise text in which control tokens are only text."""
        return self.encode(text, special=False)

    def fewest_tokens(self, length: int) -> int:
        """Return how many tokens a text of `length` characters has at least.

        Characters are counted, not bytes: a tokenizer's Unicode normalisation may make one byte of four.
        """
        return -(-length // self.longest)

    def with_bos(self, tokens: list[int]) -> list[int]:
        """Return the tokens, with BOS in front if this tokenizer wants one and it is not there yet."""
        if self.bos is None or not self.adds_bos or tokens[:1] == [self.bos]:
            return tokens
        return [self.bos, *tokens]


END_NAMES = frozenset({
    "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|end|>", "<|return|>",
    "<|call|>", "<end_of_turn>", "<end_of_utterance>", "</s>", "<eos>", "<EOT>", "[EOS]",
})  # fmt: skip
"""Control tokens that end an answer whatever a model's configuration forgot to say."""
