"""From an answer's text to its parts, while it is written: reasoning, content and calls."""

from dataclasses import dataclass, field
from typing import Any

from infsup.workers.generation.tools.parser import CallParser, CallPiece

from .reasoning import ReasoningSplitter


@dataclass(slots=True)
class Parts:
    """What a piece of an answer has of each."""

    text: str = ""
    reasoning: str = ""
    calls: list[CallPiece] = field(default_factory=list[CallPiece])

    @property
    def any(self) -> bool:
        """Whether there is something."""
        return bool(self.text or self.reasoning or self.calls)


class Shaper:
    """Cuts one answer into its parts; without a splitter and a parser all is content."""

    def __init__(self, splitter: ReasoningSplitter | None = None, parser: CallParser | None = None) -> None:
        """Both belong to this answer alone."""
        self._splitter, self._parser = splitter, parser

    @property
    def called(self) -> bool:
        """Whether a call has come to its end."""
        return self._parser is not None and self._parser.calls > 0

    @property
    def done(self) -> bool:
        """Whether there were as many calls as there may be."""
        return self._parser is not None and self._parser.done

    def push(self, text: str) -> Parts:
        """Take the next piece of text."""
        reasoning = ""
        if self._splitter is not None:
            reasoning, text = self._splitter.push(text)
        if self._parser is None or not text:
            return Parts(text, reasoning)
        said = self._parser.push(text)
        return Parts(said.text, reasoning, said.calls)

    def flush(self) -> Parts:
        """Return what was held back: the answer has ended."""
        reasoning = text = ""
        if self._splitter is not None:
            reasoning, text = self._splitter.flush()
        if self._parser is None:
            return Parts(text, reasoning)
        said, last = self._parser.push(text), self._parser.flush()
        return Parts(said.text + last.text, reasoning, said.calls + last.calls)


class CallLog:
    """The calls of one answer as its result has them."""

    def __init__(self) -> None:
        """Begin without any."""
        self._calls: list[dict[str, Any]] = []

    def add(self, pieces: list[CallPiece]) -> list[dict[str, Any]]:
        """Remember pieces of calls; return them as a piece of an answer has them."""
        for piece in pieces:
            if piece.name:
                self._calls.append({"id": piece.id, "name": piece.name, "arguments": ""})
            self._calls[piece.index]["arguments"] += piece.arguments
        return [
            {
                "index": piece.index,
                "arguments": piece.arguments,
                **({"id": piece.id, "name": piece.name} if piece.name else {}),
            }
            for piece in pieces
        ]

    @property
    def calls(self) -> list[dict[str, Any]]:
        """All calls: `{"id", "name", "arguments"}`, the arguments as text."""
        return [dict(call) for call in self._calls]
