"""Results of text jobs as workers send them, read into types."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from infsup.protocol.errors import EngineFailure

from .logprobs import Logprobs, read_logprobs

FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter"})


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call; `arguments` are JSON as text."""

    id: str
    name: str
    arguments: str

    def to_body(self) -> dict[str, Any]:
        """Return it as OpenAI's messages have it."""
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer to a prompt. `finish_reason` is one of FINISH_REASONS, `logprobs` None where none were wanted."""

    index: int
    text: str
    finish_reason: str
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    logprobs: Logprobs | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts; `cached` of the prompt's tokens did not have to be read again."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0

    def to_body(self) -> dict[str, Any]:
        """Return OpenAI's `usage`."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }


@dataclass(frozen=True, slots=True)
class TextResult:
    """What a text job ends with: its choices by index, and what it used."""

    choices: tuple[Choice, ...]
    usage: Usage


def read_result(result: Mapping[str, Any]) -> TextResult:
    """Read a result. Raises `EngineFailure` when an engine has sent something else than text choices."""
    entries = result.get("choices")
    if not _is_list(entries) or not entries:
        raise EngineFailure("the engine's result has no choices")
    choices = [_read_choice(entry, i) for i, entry in enumerate(entries)]
    return TextResult(tuple(sorted(choices, key=lambda choice: choice.index)), _read_usage(result.get("usage")))


def total(usages: Iterable[Usage]) -> Usage:
    """Add up."""
    counts = [(usage.prompt, usage.completion, usage.cached) for usage in usages]
    return Usage(*(sum(column) for column in zip(*counts, strict=True)))


def _read_choice(entry: object, position: int) -> Choice:
    if not _is_map(entry):
        raise EngineFailure(f"choice {position} of the engine's result is a {type(entry).__name__}, expected a map")
    index, text, reason = entry.get("index", position), entry.get("text"), entry.get("finish_reason")
    if not isinstance(index, int) or not isinstance(text, str):
        raise EngineFailure(f"choice {position} of the engine's result has no text or no whole number as index")
    reasoning: Any = entry.get("reasoning")
    return Choice(
        index,
        text,
        reason if reason in FINISH_REASONS else "stop",
        reasoning if isinstance(reasoning, str) else "",
        _read_calls(entry.get("tool_calls"), position),
        read_logprobs(entry),
    )


def call_pieces(entries: object) -> list[Mapping[Any, Any]]:
    """Return the pieces of calls in a chunk; what is none counts as nothing."""
    return [entry for entry in entries if _is_map(entry)] if _is_list(entries) else []


def _read_calls(entries: object, position: int) -> tuple[Call, ...]:
    calls: list[Call] = []
    for entry in entries if _is_list(entries) else ():
        parts = [entry.get(name) for name in ("id", "name", "arguments")] if _is_map(entry) else []
        texts = [part for part in parts if isinstance(part, str)]
        if len(texts) != 3:
            raise EngineFailure(f"a tool call in choice {position} of the engine's result has no id, name or arguments")
        calls.append(Call(*texts))
    return tuple(calls)


def _read_usage(entry: object) -> Usage:
    if not _is_map(entry):
        return Usage()
    counts = [entry.get(name) for name in ("prompt_tokens", "completion_tokens", "cached_tokens")]
    return Usage(*(count if isinstance(count, int) else 0 for count in counts))


def _is_map(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
