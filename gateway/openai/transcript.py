"""From the events of an answer's jobs to the bytes of its stream."""

from collections.abc import Iterable, Mapping
from typing import Any

from infsup.gateway.jobs import raise_failure
from infsup.protocol.errors import InfsupError
from infsup.protocol.messages import Chunk, Done, JobEvent

from .logprobs import Logprobs, read_logprobs
from .results import FINISH_REASONS, TextResult, Usage, call_pieces, read_result, total
from .shapes import Pieces

DONE = b"data: [DONE]\n\n"


class Transcript:
    """Remembers what was said of each choice, so that an answer's pieces are always its whole text."""

    def __init__(self, pieces: Pieces, choices_per_job: int, *, usage: bool) -> None:
        """`usage` says that the stream ends with it."""
        self._pieces = pieces
        self._choices_per_job = choices_per_job
        self._with_usage = usage
        self._said: dict[int, list[str]] = {}
        self._called: set[int] = set()
        self._reasoned: set[int] = set()
        self._closed: set[int] = set()
        self._usages: list[Usage] = []

    def write(self, events: Iterable[tuple[int, JobEvent]]) -> tuple[bytes, InfsupError | None]:
        """Return the bytes for these events, and the error that ends the answer, if one is among them."""
        written: list[bytes] = []
        try:
            for number, event in events:
                raise_failure(event)
                if isinstance(event, Chunk):
                    written.append(self._read_chunk(number, event.data))
                elif isinstance(event, Done):
                    written.append(self._end_job(number, read_result(event.result)))
        except InfsupError as error:
            return b"".join(written), error
        return b"".join(written), None

    def ending(self) -> bytes:
        """Return the last bytes of an answer that was finished."""
        return (self._pieces.usage_event(total(self._usages)) if self._with_usage else b"") + DONE

    def _read_chunk(self, number: int, data: Mapping[str, Any]) -> bytes:
        index, text, reason = data.get("index", 0), data.get("text", ""), data.get("finish_reason")
        if not isinstance(text, str) or not isinstance(index, int):
            return b""
        index += number * self._choices_per_job
        said = self._reason(index, data.get("reasoning")) + self._say(index, text, read_logprobs(data))
        said += self._call(index, data)
        return said + self._close(index, reason) if isinstance(reason, str) and reason in FINISH_REASONS else said

    def _say(self, index: int, text: str, logprobs: Logprobs | None = None) -> bytes:
        opening = b"" if index in self._said else self._pieces.opening(index)
        self._said.setdefault(index, []).append(text)
        return opening + self._pieces.text(index, text, logprobs) if text or logprobs else opening

    def _reason(self, index: int, text: object) -> bytes:
        if not isinstance(text, str) or not text:
            return b""
        self._reasoned.add(index)
        return self._say(index, "") + self._pieces.reasoning(index, text)

    def _call(self, index: int, data: Mapping[str, Any]) -> bytes:
        entries = call_pieces(data.get("tool_calls"))
        if not entries:
            return b""
        self._called.add(index)
        return self._say(index, "") + b"".join(self._pieces.call(index, entry) for entry in entries)

    def _close(self, index: int, finish_reason: str) -> bytes:
        if index in self._closed:
            return b""
        self._closed.add(index)
        return self._pieces.closing(index, finish_reason)

    def _end_job(self, number: int, result: TextResult) -> bytes:
        self._usages.append(result.usage)
        written = b""
        for choice in result.choices:
            index = number * self._choices_per_job + choice.index
            if index in self._closed:
                continue
            # Engines that do not stream say everything at the end.
            has_said, said = index in self._said, "".join(self._said.get(index, ()))
            if index not in self._reasoned:
                written += self._reason(index, choice.reasoning)
            logprobs = None if has_said else choice.logprobs
            written += self._say(index, choice.text[len(said) :] if choice.text.startswith(said) else "", logprobs)
            if index not in self._called:
                calls = [
                    {"index": i, "id": call.id, "name": call.name, "arguments": call.arguments}
                    for i, call in enumerate(choice.calls)
                ]
                written += self._call(index, {"tool_calls": calls})
            written += self._close(index, choice.finish_reason)
        return written
