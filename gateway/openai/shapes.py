"""The bodies of chat and text completions, whole and in pieces, byte for byte as OpenAI's clients expect them.

Pieces are put together from constant bytes and the one string that changes: there are many of them.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from .logprobs import Logprobs, chat_shape, text_shape
from .results import Choice, TextResult, Usage, total


class Api(Enum):
    """The two calls; the value is the prefix of their ids."""

    CHAT = "chatcmpl"
    TEXT = "cmpl"


@dataclass(frozen=True, slots=True)
class Answer:
    """What all bodies of one answer have in common. `created` is in seconds since 1970."""

    api: Api
    job_id: str
    model: str
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def id(self) -> str:
        """The completion's id; behind its prefix stands the job's."""
        return f"{self.api.value}-{self.job_id.removeprefix('job-')}"

    def head(self, kind: str) -> dict[str, Any]:
        """Return the fields that every body begins with."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": None,
        }


def whole(answer: Answer, results: Sequence[TextResult], choices_per_job: int) -> bytes:
    """Return the body of an answer that is not streamed."""
    kind = "chat.completion" if answer.api is Api.CHAT else "text_completion"
    choices = [
        _whole_choice(answer.api, choice, number * choices_per_job + choice.index)
        for number, result in enumerate(results)
        for choice in result.choices
    ]
    usage = total(result.usage for result in results).to_body()
    return json.dumps({**answer.head(kind), "choices": choices, "usage": usage}).encode()


def _whole_choice(api: Api, choice: Choice, index: int) -> dict[str, Any]:
    if api is Api.TEXT:
        logprobs = text_shape(choice.logprobs)
        return {"index": index, "text": choice.text, "logprobs": logprobs, "finish_reason": choice.finish_reason}
    message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
    if choice.reasoning:
        message["reasoning_content"] = choice.reasoning
    if choice.calls:
        message["content"] = choice.text or None
        message["tool_calls"] = [call.to_body() for call in choice.calls]
    logprobs = chat_shape(choice.logprobs)
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": choice.finish_reason}


class Pieces:
    """The server-sent events of one streamed answer. With `usage` each of them says `usage: null`."""

    def __init__(self, answer: Answer, *, usage: bool) -> None:
        """Prepare what is the same in all events."""
        self._chat = answer.api is Api.CHAT
        self._head = answer.head("chat.completion.chunk" if self._chat else "text_completion")
        self._start = b"data: " + _json(self._head)[:-1] + b',"choices":['
        self._end = (b'],"usage":null}' if usage else b"]}") + b"\n\n"
        before, after = (b',"delta":{"content":', b"}") if self._chat else (b',"text":', b"")
        self._before_text = before
        self._after_text = after + b',"logprobs":null,"finish_reason":null}' + self._end

    def opening(self, index: int) -> bytes:
        """Return the event that opens a choice: chats name the role in it."""
        if not self._chat:
            return b""
        return self._choice({"index": index, "delta": {"role": "assistant", "content": ""}})

    def text(self, index: int, text: str, logprobs: Logprobs | None = None) -> bytes:
        """Return the event for a piece of text."""
        if logprobs is not None:
            shape = chat_shape(logprobs) if self._chat else text_shape(logprobs)
            words = {"delta": {"content": text}} if self._chat else {"text": text}
            return self._start + _json({"index": index, **words, "logprobs": shape, "finish_reason": None}) + self._end
        return b"".join((
            self._start, b'{"index":%d' % index, self._before_text, json.dumps(text).encode(), self._after_text,
        ))  # fmt: skip

    def reasoning(self, index: int, text: str) -> bytes:
        """Return the event for a piece of reasoning; text completions have none."""
        return self._choice({"index": index, "delta": {"reasoning_content": text}}) if self._chat else b""

    def call(self, index: int, entry: Mapping[str, Any]) -> bytes:
        """Return the event for a piece of a call: `index`, `arguments` and, in its first one, `id` and `name`."""
        function: dict[str, Any] = {"arguments": entry.get("arguments", "")}
        call: dict[str, Any] = {"index": entry.get("index", 0), "function": function}
        if "name" in entry:
            call |= {"id": entry.get("id"), "type": "function", "function": {"name": entry["name"], **function}}
        return self._choice({"index": index, "delta": {"tool_calls": [call]}}) if self._chat else b""

    def closing(self, index: int, finish_reason: str) -> bytes:
        """Return the event that closes a choice."""
        return self._choice({"index": index, **({"delta": {}} if self._chat else {"text": ""})}, finish_reason)

    def usage_event(self, usage: Usage) -> bytes:
        """Return the event with the usage: the last one, without choices."""
        return b"data: " + _json({**self._head, "choices": [], "usage": usage.to_body()}) + b"\n\n"

    def _choice(self, choice: dict[str, Any], finish_reason: str | None = None) -> bytes:
        return self._start + _json({**choice, "logprobs": None, "finish_reason": finish_reason}) + self._end


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
