"""What the fault engine reads of a job's parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from infsup.protocol.errors import InvalidRequest
from infsup.workers.generation.checks import refusal


@dataclass(frozen=True, slots=True)
class Request:
    """One job: the prompt (chat: the last user message), its length in words, and for embeddings their texts."""

    prompt: str
    prompt_tokens: int
    max_tokens: int | None = None
    stops: tuple[str, ...] = ()
    texts: tuple[str, ...] | None = None


def read_request(task: str, params: Mapping[str, Any]) -> Request:
    """Check the parameters of a job. Raises `InvalidRequest` naming the field."""
    if task == "embedding":
        texts = _strings(params.get("input"), "input")
        return Request(texts[0] if texts else "", sum(map(_words, texts)), texts=texts)
    if task == "chat-completion":
        said = _messages(params.get("messages"))
        users = [text for role, text in said if role == "user"]
        if not users:
            raise InvalidRequest("messages: found no message of role 'user'", param="messages")
        prompt, size = users[-1], sum(_words(text) for _, text in said)
    else:
        prompt = _prompt(params.get("prompt"))
        size = _words(prompt)
    stop = params.get("stop")
    return Request(prompt, size, _max_tokens(params), () if stop is None else _strings(stop, "stop"))


def _prompt(value: Any) -> str:
    if not isinstance(value, str):
        raise refusal("prompt", value, "a string")
    return value


def _words(text: str) -> int:
    return len(text.split())


def _max_tokens(params: Mapping[str, Any]) -> int | None:
    value = params.get("max_tokens")
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise refusal("max_tokens", value, "an integer from 0")
    return value


def _strings(value: Any, name: str) -> tuple[str, ...]:
    values: Sequence[Any] = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not all(isinstance(text, str) for text in values):
        raise refusal(name, value, "a string or a list of strings")
    return tuple(text for text in values if text or name != "stop")  # an empty stop string would stop at once


def _messages(messages: Any) -> list[tuple[str, str]]:
    if not isinstance(messages, list | tuple):
        raise refusal("messages", messages, "a list of messages")
    said: list[tuple[str, str]] = []
    for place, message in enumerate(cast("Sequence[Any]", messages)):
        if not isinstance(message, Mapping):
            raise refusal(f"messages.{place}", message, "an object with role and content")
        fields = cast("Mapping[str, Any]", message)
        said.append((str(fields.get("role")), _text(fields.get("content"), f"messages.{place}.content")))
    return said


def _text(content: Any, where: str) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        raise refusal(where, content, "a string or a list of parts")
    parts = [cast("Mapping[str, Any]", part) for part in cast("list[Any]", content) if isinstance(part, Mapping)]
    return "".join(str(part.get("text", "")) for part in parts if part.get("type") == "text")
