"""One answer in the making: from tokens to pieces of text, and when it is over."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from infsup.workers.engine import Piece

from .detokenizer import Detokenizer
from .stops import StopMatcher
from .vocabulary import Vocabulary

Entry = dict[str, Any]
"""What is told of a token's likelihood: `token` (text), `bytes`, `logprob` (natural; None for a prompt's first token),
`top` (a list of such maps, likeliest first), `offset` (of its text in the answer's)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One finished answer: `tokens` are new, `logprob` is the sum of theirs where it was computed."""

    index: int
    text: str
    finish_reason: str
    tokens: int
    logprob: float = 0.0
    logprobs: tuple[Entry, ...] | None = None

    def to_map(self) -> dict[str, Any]:
        """Return it as a result has it."""
        data: dict[str, Any] = {"index": self.index, "text": self.text, "finish_reason": self.finish_reason}
        if self.logprobs is not None:
            data["logprobs"] = list(self.logprobs)
        return data


class ChoiceWriter:
    """Takes an answer's tokens one by one; `reason` is set once it is over.

    Pieces are `{"index", "text", "tokens"}`; the first piece of a job also has `prompt_tokens` and, where there are
    several choices, the last of each its `finish_reason`. Where they are wanted, `logprobs` are the entries of the
    tokens in it, each with the `offset` of its text in the answer's, in characters.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        index: int,
        limit: int,
        stops: tuple[str, ...],
        prompt_tokens: int,
        tells_end: bool,
        min_tokens: int = 0,
        tells_logprobs: bool = False,
    ) -> None:
        """`limit` counts tokens; at 0 the answer is over before it begins. `tells_end`: the last piece says why.

        Stop strings count only after `min_tokens`.
        """
        self.index = index
        self.limit = limit
        self.tokens = 0
        self.reason = "" if limit else "length"
        self._ends = vocabulary.end_tokens
        self._detokenizer = Detokenizer(vocabulary.pieces)
        self._stops = StopMatcher(stops)
        self._prompt_tokens = prompt_tokens
        self._tells_end = tells_end
        self._text: list[str] = []
        self._unsent = 0
        self._min_tokens = min_tokens
        self._logprob = 0.0
        self._length = 0  # of the text that is whole, in characters, sent or not
        self._entries: list[Entry] | None = [] if tells_logprobs else None
        self._sent_entries = 0

    def open(self, opening: str, entries: Sequence[Entry] = ()) -> Piece | None:
        """Return the piece for the words that the answer begins with, if there are any, and their logprobs."""
        self._length = len(opening)
        if self._entries is not None:
            self._entries.extend(entries)
        return self._piece(opening) if opening else None

    def push_with(self, token: int, entry: Entry) -> Piece | None:
        """Take the next token and what is to be told of its likelihood."""
        if token not in self._ends:
            self._logprob += entry["logprob"]
            if self._entries is not None:
                self._entries.append({**entry, "offset": self._length})
        return self.push(token)

    def push(self, token: int) -> Piece | None:
        """Take the next token; None while its text is not whole or could still become a stop string."""
        if token in self._ends:
            self.reason = "stop"
            return None
        self.tokens += 1
        self._unsent += 1
        whole = self._detokenizer.push(token)
        self._length += len(whole)
        text = self._stops.push(whole) if self.tokens > self._min_tokens else whole
        if self._stops.matched:
            self.reason = "stop"
            self._drop_entries(sum(map(len, self._text)) + len(text))
        elif self.tokens >= self.limit:
            self.reason = "length"
        return self._piece(text) if text else None

    def end(self) -> Piece | None:
        """Return the last piece, if there is one. To be called once, when `reason` is set."""
        rest = "" if self._stops.matched else self._stops.push(self._detokenizer.flush()) + self._stops.flush()
        if self._tells_end:
            return Piece({**self._piece(rest).data, "finish_reason": self.reason})
        return self._piece(rest) if rest or self._sent_entries < len(self._entries or ()) else None

    @property
    def choice(self) -> Choice:
        """The finished answer."""
        entries = None if self._entries is None else tuple(self._entries)
        return Choice(self.index, "".join(self._text), self.reason, self.tokens, self._logprob, entries)

    def _drop_entries(self, length: int) -> None:
        """Forget the entries of tokens whose text a stop string has cut off."""
        entries = self._entries
        while entries and entries[-1]["offset"] >= length:
            entries.pop()

    def _piece(self, text: str) -> Piece:
        data: dict[str, Any] = {"index": self.index, "text": text, "tokens": self._unsent}
        if not self._text and self.index == 0:
            data["prompt_tokens"] = self._prompt_tokens
        if self._entries is not None:
            data["logprobs"] = self._entries[self._sent_entries :]
            self._sent_entries = len(self._entries)
        self._text.append(text)
        self._unsent = 0
        return Piece(data)
