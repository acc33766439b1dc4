"""Grammars against the tokens of one model, by llguidance."""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence, Set
from typing import Protocol

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

from infsup.protocol.errors import EngineFailure, InvalidRequest
from infsup.workers.generation.constraint import Constraint, Grammar

from .lark import Rules

_KEPT = 32
"""Grammars kept ready: agents ask for the same few again and again."""
_MAX_WIDTH = 20_000
_MAX_STEP = 1_000_000
"""What may come next at one place and in one step, in the items of llguidance: 1,000 optional properties need this."""
_HEAD = re.compile(r"at \d+\(\d+\): |failed to compile JSON schema: ")


class GuideVocabulary(Protocol):
    """What is needed of a `Vocabulary`."""

    @property
    def pieces(self) -> Sequence[bytes]:
        """The bytes of each token."""
        ...

    @property
    def special(self) -> Mapping[str, int]:
        """Control tokens by their texts."""
        ...

    @property
    def end_tokens(self) -> Set[int]:
        """The tokens that end an answer."""
        ...

    @property
    def bos(self) -> int | None:
        """The token that begins a prompt."""
        ...

    def encode_plain(self, text: str) -> list[int]:
        """Tokenise text in which there are no control tokens."""
        ...


class Guide:
    """Makes constraints for one vocabulary. Building it takes about 0.3 s for 50,000 tokens: one for each model."""

    def __init__(self, vocabulary: GuideVocabulary) -> None:
        """Read the vocabulary."""
        self.special = vocabulary.special
        self._tokens = len(vocabulary.pieces)
        # A token that does not exist stands in for the end where a model has none: grammars still end where nothing
        # else may follow.
        self._ends = sorted(vocabulary.end_tokens) or [self._tokens]
        wrapper = TokenizerWrapper(_Tokens(vocabulary, self._ends))
        self._tokenizer = LLTokenizer(wrapper, n_vocab=max(self._tokens, self._ends[-1] + 1), eos_token=self._ends)
        self._ready: OrderedDict[str, LLMatcher] = OrderedDict()
        self._limits = LLParserLimits(max_items_in_row=_MAX_WIDTH, step_max_items=_MAX_STEP, verbose_errors=False)

    def grammar(self, rules: Rules, field: str) -> Grammar:
        """Make a grammar ready; `field` is what errors name.

        Raises `InvalidRequest` for a grammar that is wrong, too large, or allows nothing at all.
        """
        source = rules.source
        matcher = self._ready.pop(source, None)
        if matcher is None:
            matcher = LLMatcher(self._tokenizer, LLMatcher.grammar_from_lark(source), log_level=0, limits=self._limits)
            _check(matcher, field)
            _Way(matcher.deep_copy(), self._tokens, field).mask()
        self._ready[source] = matcher
        if len(self._ready) > _KEPT:
            self._ready.popitem(last=False)
        return _Prepared(matcher, self._tokens, field)


class _Tokens:
    """A vocabulary as llguidance reads it."""

    def __init__(self, vocabulary: GuideVocabulary, ends: Sequence[int]) -> None:
        texts = {token: text.encode() for text, token in vocabulary.special.items()}
        pieces = [texts.get(token) or piece for token, piece in enumerate(vocabulary.pieces)]
        pieces += [b"<end>"] * (ends[-1] + 1 - len(pieces))
        self.tokens: list[bytes] = pieces
        self.eos_token_id = ends[0]
        self.bos_token_id = vocabulary.bos
        self.special_token_ids = sorted({*vocabulary.special.values(), *ends})
        self._vocabulary = vocabulary
        self._bytes = {bytes((i,)): token for token, piece in enumerate(pieces) if len(piece) == 1 for i in piece}

    def __call__(self, text: str | bytes) -> list[int]:
        """Tokenise what the grammar forces, as the model would write it."""
        if isinstance(text, bytes):
            # llguidance asks for bytes first, and gives text when they are refused.
            raise TypeError("text only")
        tokens = self._vocabulary.encode_plain(text)
        pieces = self._vocabulary.pieces
        if b"".join(pieces[token] for token in tokens) == text.encode():
            return tokens
        # Tokenizers that add a space in front, or normalise: byte by byte is right, if not what the model would write.
        return [self._bytes[bytes((i,))] for i in text.encode() if bytes((i,)) in self._bytes]


class _Prepared:
    def __init__(self, matcher: LLMatcher, tokens: int, field: str) -> None:
        self._matcher, self._tokens, self._field = matcher, tokens, field

    def start(self) -> Constraint:
        return _Way(self._matcher.deep_copy(), self._tokens, self._field)


class _Way:
    """A `Constraint`."""

    def __init__(self, matcher: LLMatcher, tokens: int, field: str) -> None:
        self._matcher, self._field = matcher, field
        self._bytes = -(-tokens // 8)

    def mask(self) -> bytes:
        allowed = self._matcher.compute_bitmask()
        _check(self._matcher, self._field)
        return allowed[: self._bytes]

    def accept(self, token: int) -> None:
        if not self._matcher.consume_token(token):
            if self._matcher.stop_reason() in {"ParserTooComplex", "LexerTooComplex"}:
                raise InvalidRequest(f"{self._field}: found a grammar that is too complex here", param=self._field)
            raise EngineFailure(f"the token {token} is not one that {self._field} allows here")

    @property
    def complete(self) -> bool:
        return self._matcher.is_stopped()


def _check(matcher: LLMatcher, field: str) -> None:
    if matcher.is_error():
        raise InvalidRequest(f"{field}: {_problem(matcher.get_error())}", param=field)


def _problem(report: str) -> str:
    """Return the first line of llguidance's report, without what only its authors understand."""
    line = _HEAD.sub("", report.strip().partition("\n")[0])
    return "no answer can satisfy it" if line.startswith("NoExtension") else line[:300]
