"""One answer in the making: from tokens to pieces of text, and when it is over."""

from dataclasses import dataclass
from typing import Any

from infsup.workers.engine import Piece

from .detokenizer import Detokenizer
from .stops import StopMatcher
from .vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Choice:
    """One finished answer: `tokens` are new."""

    index: int
    text: str
    finish_reason: str
    tokens: int

    def to_map(self) -> dict[str, Any]:
        """Return it as a result has it."""
        return {"index": self.index, "text": self.text, "finish_reason": self.finish_reason}


class ChoiceWriter:
    """Takes an answer's tokens one by one; `reason` is set once it is over.

    Pieces are `{"index", "text", "tokens"}`; the first piece of a job also has `prompt_tokens` and, where there are
    several choices, the last of each its `finish_reason`.
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
    ) -> None:
        """`limit` counts tokens; at 0 the answer is over before it begins. `tells_end`: the last piece says why."""
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

    def open(self, opening: str) -> Piece | None:
        """Return the piece for the words that the answer begins with, if there are any."""
        return self._piece(opening) if opening else None

    def push(self, token: int) -> Piece | None:
        """Take the next token; None while its text is not whole or could still become a stop string."""
        if token in self._ends:
            self.reason = "stop"
            return None
        self.tokens += 1
        self._unsent += 1
        text = self._stops.push(self._detokenizer.push(token))
        if self._stops.matched:
            self.reason = "stop"
        elif self.tokens >= self.limit:
            self.reason = "length"
        return self._piece(text) if text else None

    def end(self) -> Piece | None:
        """Return the last piece, if there is one. To be called once, when `reason` is set."""
        rest = "" if self._stops.matched else self._stops.push(self._detokenizer.flush()) + self._stops.flush()
        if self._tells_end:
            return Piece({**self._piece(rest).data, "finish_reason": self.reason})
        return self._piece(rest) if rest else None

    @property
    def choice(self) -> Choice:
        """The finished answer."""
        return Choice(self.index, "".join(self._text), self.reason, self.tokens)

    def _piece(self, text: str) -> Piece:
        data: dict[str, Any] = {"index": self.index, "text": text, "tokens": self._unsent}
        if not self._text and self.index == 0:
            data["prompt_tokens"] = self._prompt_tokens
        self._text.append(text)
        self._unsent = 0
        return Piece(data)
