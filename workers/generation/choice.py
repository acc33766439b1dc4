"""One answer in the making: from tokens to pieces of text, and when it is over."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from infsup.workers.engine import Piece

from .constraint import Constraint
from .detokenizer import Detokenizer
from .shape import CallLog, Parts, Shaper
from .stops import StopMatcher

Entry = dict[str, Any]
"""What is told of a token's likelihood: `token` (text), `bytes`, `logprob` (natural; None for a prompt's first token),
`top` (a list of such maps, likeliest first), `offset` (of its text in the answer's)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One finished answer: `tokens` are new, `logprob` is the sum of theirs where it was computed, `calls` are
    `{"id", "name", "arguments"}`.
    """

    index: int
    text: str
    finish_reason: str
    tokens: int
    reasoning: str = ""
    calls: tuple[dict[str, Any], ...] = ()
    logprob: float = 0.0
    logprobs: tuple[Entry, ...] | None = None

    def to_map(self) -> dict[str, Any]:
        """Return it as a result has it: `reasoning`, `tool_calls` and `logprobs` only if there are any."""
        made: dict[str, Any] = {"index": self.index, "text": self.text, "finish_reason": self.finish_reason}
        if self.reasoning:
            made["reasoning"] = self.reasoning
        if self.calls:
            made["tool_calls"] = list(self.calls)
        if self.logprobs is not None:
            made["logprobs"] = list(self.logprobs)
        return made


class ChoiceWriter:
    """Takes an answer's tokens one by one; `reason` is set once it is over.

    Pieces are `{"index", "text", "tokens"}`, with `reasoning` (text) and `tool_calls` (a list of
    `{"index", "arguments"}`, the first of a call also with `id` and `name`) where they have some; the first piece of a
    job also has `prompt_tokens` and, where there are several choices, the last of each its `finish_reason`. Where they
    are wanted, `logprobs` are the entries of the tokens in it, each with the `offset` of its text in all that the
    answer's tokens say, in characters: reasoning and calls count too.
    """

    def __init__(
        self,
        pieces: Sequence[bytes],
        end_tokens: Collection[int],
        *,
        shaper: Shaper,
        constraint: Constraint | None,
        index: int,
        limit: int,
        stops: tuple[str, ...],
        prompt_tokens: int,
        tells_end: bool,
        min_tokens: int = 0,
        tells_logprobs: bool = False,
    ) -> None:
        """`pieces` are the bytes of each token. `limit` counts tokens; at 0 the answer is over before it begins.
        `tells_end`: the last piece says why.

        Stop strings count only after `min_tokens`.
        """
        self.index = index
        self.limit = limit
        self.tokens = 0
        self.reason = "" if limit else "length"
        self._ends = end_tokens
        self._detokenizer = Detokenizer(pieces)
        self._shaper = shaper
        self._constraint = constraint
        self._calls = CallLog()
        self._stops = StopMatcher(stops)
        self._prompt_tokens = prompt_tokens
        self._tells_end = tells_end
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._unsent = 0
        self._told = False
        self._min_tokens = min_tokens
        self._logprob = 0.0
        self._length = 0  # of the text that is whole, in characters, sent or not
        self._passed = 0  # of the text that is no longer held back for stop strings
        self._entries: list[Entry] | None = [] if tells_logprobs else None
        self._sent_entries = 0

    def mask(self) -> bytes | None:
        """Return which tokens may come next, as `Constraint.mask` does; None for all. To be called before `push`."""
        return self._constraint.mask() if self._constraint is not None else None

    def open(self, opening: str, entries: Sequence[Entry] = ()) -> Piece | None:
        """Return the piece for the words that the answer begins with, if there are any, and their logprobs."""
        self._length = self._passed = len(opening)
        if self._entries is not None:
            self._entries.extend(entries)
        return self._piece(Parts(opening)) if opening else None

    def push_with(self, token: int, entry: Entry) -> Piece | None:
        """Take the next token and what is to be told of its likelihood."""
        if token not in self._ends:
            self._logprob += entry["logprob"]
            if self._entries is not None:
                self._entries.append({**entry, "offset": self._length})
        return self.push(token)

    def push(self, token: int) -> Piece | None:
        """Take the next token; None while its text is not whole or could still become a stop string or a call."""
        if token in self._ends:
            self._over("stop")
            return None
        self.tokens += 1
        self._unsent += 1
        if self._constraint is not None:
            self._constraint.accept(token)
        parts = self._shaper.push(self._read(token))
        if self._stops.matched or self._shaper.done or (self._constraint is not None and self._constraint.complete):
            self._over("stop")
        elif self.tokens >= self.limit:
            self._over("length")
        return self._piece(parts) if parts.any else None

    def _over(self, reason: str) -> None:
        self.reason = "tool_calls" if reason == "stop" and self._shaper.called else reason

    def end(self) -> Piece | None:
        """Return the last piece, if there is one. To be called once, when `reason` is set."""
        rest = "" if self._stops.matched else self._stops.push(self._detokenizer.flush()) + self._stops.flush()
        parts, last = self._shaper.push(rest), self._shaper.flush()
        parts = Parts(parts.text + last.text, parts.reasoning + last.reasoning, parts.calls + last.calls)
        if self.reason == "stop":
            self._over("stop")
        if self._tells_end:
            return Piece({**self._piece(parts).data, "finish_reason": self.reason})
        return self._piece(parts) if parts.any or self._sent_entries < len(self._entries or ()) else None

    @property
    def choice(self) -> Choice:
        """The finished answer."""
        return Choice(
            self.index,
            "".join(self._text),
            self.reason,
            self.tokens,
            reasoning="".join(self._reasoning),
            calls=tuple(self._calls.calls),
            logprob=self._logprob,
            logprobs=None if self._entries is None else tuple(self._entries),
        )

    def _read(self, token: int) -> str:
        """Return the text that a token adds and no stop string holds back."""
        whole = self._detokenizer.push(token)
        self._length += len(whole)
        text = self._stops.push(whole) if self.tokens > self._min_tokens else whole
        self._passed += len(text)
        if self._stops.matched:
            self._drop_entries(self._passed)
        return text

    def _drop_entries(self, length: int) -> None:
        """Forget the entries of tokens whose text a stop string has cut off."""
        entries = self._entries
        while entries and entries[-1]["offset"] >= length:
            entries.pop()

    def _piece(self, parts: Parts) -> Piece:
        data: dict[str, Any] = {"index": self.index, "text": parts.text, "tokens": self._unsent}
        if not self._told and self.index == 0:
            data["prompt_tokens"] = self._prompt_tokens
        if parts.reasoning:
            data["reasoning"] = parts.reasoning
        if parts.calls:
            data["tool_calls"] = self._calls.add(parts.calls)
        if self._entries is not None:
            data["logprobs"] = self._entries[self._sent_entries :]
            self._sent_entries = len(self._entries)
        self._text.append(parts.text)
        self._reasoning.append(parts.reasoning)
        self._unsent, self._told = 0, True
        return Piece(data)
