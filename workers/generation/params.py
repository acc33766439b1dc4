"""The parameters of text jobs, read from a job's untrusted map over the model's defaults."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from infsup.protocol.errors import InvalidRequest, UnsupportedParameter

from .checks import Number, is_list, is_map, read_bool, read_list, read_map, read_text, refusal
from .messages import Message, read_messages

MAX_STOPS = 16
MAX_CHOICES = 16
MAX_INT = 2**63 - 1
MAX_BIAS_TEXT = 1000
BAN = -100.0
"""A bias this low forbids the token."""


@dataclass(frozen=True, slots=True)
class TextParams:
    """What a text job asks for, checked.

    `prompt` is text or token ids; for chats it is None and `messages` is set. `max_tokens` None means to the end
    of the context, `repeat_last_n` -1 the whole context, `seed` None a random one. Keys of `logit_bias` are token
    ids (int) or texts (str) of which every token is meant. `template_options` are variables for the chat template.
    """

    prompt: str | tuple[int, ...] | None = None
    messages: tuple[Message, ...] = ()
    max_tokens: int | None = None
    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logit_bias: Mapping[int | str, float] = field(default_factory=dict[int | str, float])
    n: int = 1
    ignore_eos: bool = False
    echo: bool = False
    tools: tuple[Mapping[str, Any], ...] = ()
    template_options: Mapping[str, Any] = field(default_factory=dict[str, Any])


def read_params(task: str, request: Mapping[str, Any], defaults: Mapping[str, Any]) -> TextParams:
    """Read a request for `task`, "text-completion" or "chat-completion".

    What it leaves out, or sets to None, comes from `defaults`. Raises `UnsupportedParameter` for an unknown name
    and `InvalidRequest` for a wrong type or range; both name the field.
    """
    readers = _readers(task)
    given = {name: value for name, value in request.items() if value is not None}
    for name in given:
        if name not in readers:
            raise UnsupportedParameter(f"{name[:80]} is not a parameter of {task}", param=name)
    merged = {name: value for name, value in defaults.items() if name in readers and value is not None} | given
    fields = {_FIELDS.get(name, name): readers[name](value, name) for name, value in merged.items()}
    params = TextParams(**fields)
    _check_together(task, params)
    return params


def check_defaults(defaults: Mapping[str, Any]) -> None:
    """Check a model's defaults alone, so that a wrong one is found at load. Raises like `read_params`."""
    readers = _readers("text-completion") | _readers("chat-completion")
    for name, value in defaults.items():
        if name not in readers:
            raise UnsupportedParameter(f"defaults.{name} is not a parameter of text tasks", param=f"defaults.{name}")
        if value is not None:
            readers[name](value, f"defaults.{name}")


def _check_together(task: str, params: TextParams) -> None:
    if task == "chat-completion":
        if not params.messages:
            raise InvalidRequest("messages is missing", param="messages")
    elif params.prompt is None:
        raise InvalidRequest("prompt is missing", param="prompt")
    if params.max_tokens == 0 and not params.echo:
        raise refusal("max_tokens", 0, "1 or more (0 only together with echo)")


def _read_prompt(value: object, name: str) -> str | tuple[int, ...]:
    if isinstance(value, str):
        return read_text(value, name)
    if not is_list(value) or any(isinstance(entry, bool) or not isinstance(entry, int) for entry in value):
        raise refusal(name, value, "text or a list of token ids")
    return tuple(value)


def _read_stop(value: object, name: str) -> tuple[str, ...]:
    entries: list[Any] = [value] if isinstance(value, str) else read_list(value, name, MAX_STOPS)
    for i, entry in enumerate(entries):
        where = name if isinstance(value, str) else f"{name}[{i}]"
        if not read_text(entry, where):
            raise refusal(where, entry, "text of at least one character")
    return tuple(entries)


def _read_bias(value: object, name: str) -> dict[int | str, float]:
    if not is_map(value):
        raise refusal(name, value, "an object of token ids or texts with numbers from -100 to 100")
    read: dict[int | str, float] = {}
    for key, bias in value.items():
        if isinstance(key, bool) or not isinstance(key, int | str) or key == "":
            raise refusal(name, key, "a token id or text as key")
        if isinstance(key, str) and len(key) > MAX_BIAS_TEXT:
            raise refusal(name, key, f"keys of at most {MAX_BIAS_TEXT} characters")
        is_id = isinstance(key, int) or (key.isascii() and key.isdigit())
        read[int(key) if is_id else read_text(key, name)] = _BIAS.read(bias, f"{name}.{str(key)[:40]}")
    return read


def _read_tools(value: object, name: str) -> tuple[Mapping[str, Any], ...]:
    return tuple(read_map(entry, f"{name}[{i}]") for i, entry in enumerate(read_list(value, name)))


_Reader = Callable[[Any, str], Any]
_BIAS = Number(-100, 100)
_FIELDS: Mapping[str, str] = {"chat_template_kwargs": "template_options"}

_COMMON: Mapping[str, _Reader] = {
    "max_tokens": Number(1, MAX_INT, whole=True).read,
    "temperature": Number(0, 5).read,
    "top_k": Number(0, MAX_INT, whole=True).read,
    "top_p": Number(0, 1).read,
    "min_p": Number(0, 1).read,
    "repeat_penalty": Number(0, 10, above=True).read,
    "repeat_last_n": Number(-1, MAX_INT, whole=True).read,
    "frequency_penalty": Number(-2, 2).read,
    "presence_penalty": Number(-2, 2).read,
    "seed": Number(-MAX_INT - 1, 2 * MAX_INT + 1, whole=True).read,
    "stop": _read_stop,
    "logit_bias": _read_bias,
    "n": Number(1, MAX_CHOICES, whole=True).read,
    "ignore_eos": read_bool,
}

_BY_TASK: Mapping[str, Mapping[str, _Reader]] = {
    "text-completion": {
        "prompt": _read_prompt,
        "echo": read_bool,
        "max_tokens": Number(0, MAX_INT, whole=True).read,
    },
    "chat-completion": {"messages": read_messages, "tools": _read_tools, "chat_template_kwargs": read_map},
}


def _readers(task: str) -> dict[str, _Reader]:
    return {**_COMMON, **_BY_TASK[task]}
