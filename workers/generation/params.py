"""The parameters of text jobs, read from a job's untrusted map over the model's defaults."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from infsup.protocol.errors import InvalidRequest, UnsupportedParameter
from infsup.workers.generation.tools.definitions import AUTO, Choice, Tool, check_choice, read_choice, read_tools

from .answer_format import FORMAT_READERS, AnswerFormat, named_format
from .checks import Number, is_list, is_map, read_bool, read_list, read_map, read_text, refusal
from .messages import Message, read_messages

MAX_STOPS = 16
MAX_CHOICES = 16
MAX_INT = 2**63 - 1
MAX_BIAS_TEXT = 1000
MAX_LOGPROBS = 20
MAX_BREAKERS = 64
MAX_BREAKER_TEXT = 100
BAN = -100.0
"""A bias this low forbids the token."""


@dataclass(frozen=True, slots=True)
class TextParams:
    """What a text job asks for, checked.

    `prompt` is text or token ids; for chats it is None and `messages` is set. `max_tokens` None means to the end
    of the context, `repeat_last_n` -1 the whole context, `seed` None a random one. Keys of `logit_bias` are token
    ids (int) or texts (str) of which every token is meant. `template_options` are variables for the chat template.
    `logprobs` is how many of the likeliest tokens are told beside each, None for no logprobs at all; together with
    `echo` the prompt's tokens are told too. `best_of` answers are made and the `n` likeliest kept (None: `n`).
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
    tools: tuple[Tool, ...] = ()
    tool_choice: Choice = AUTO
    parallel_tool_calls: bool = True
    format: AnswerFormat | None = None
    template_options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    typical_p: float = 1.0
    top_n_sigma: float = -1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    min_tokens: int = 0
    logprobs: int | None = None
    best_of: int | None = None

    @property
    def answers(self) -> int:
        """How many answers are made."""
        return max(self.n, self.best_of or 0)

    @property
    def shown_tools(self) -> tuple[Tool, ...]:
        """The tools that the model may know of: none when it must not call any."""
        return () if self.tool_choice.mode == "none" else self.tools


def read_params(
    task: str,
    request: Mapping[str, Any],
    defaults: Mapping[str, Any],
    *,
    lacks: Collection[str] = (),
    grammars: Mapping[str, Any] | None = None,
) -> TextParams:
    """Read a request for `task`, "text-completion" or "chat-completion".

    What it leaves out, or sets to None, comes from `defaults`; `grammars` are those that it may name. Raises
    `UnsupportedParameter` for an unknown name and for one that the engine `lacks` (unless it asks for nothing), and
    `InvalidRequest` for a wrong type or range; all name the field.
    """
    readers = _readers(task)
    given = {name: value for name, value in request.items() if value is not None}
    for name in given:
        if name not in readers:
            raise UnsupportedParameter(f"{name[:80]} is not a parameter of {task}", param=name)
    usual = {name: value for name, value in defaults.items() if name in readers and value is not None}
    if FORMAT_READERS.keys() & given.keys():
        usual = {name: value for name, value in usual.items() if name not in FORMAT_READERS}
    merged = usual | given
    fields = {
        _FIELDS.get(name, name): readers[name](value, name)
        for name, value in merged.items()
        if name not in FORMAT_READERS
    }
    params = TextParams(**fields, format=_read_format(merged, grammars or {}))
    for name in lacks:
        _check_lacking(name, fields)
    _check_together(task, params)
    return params


def check_defaults(defaults: Mapping[str, Any], lacks: Collection[str] = ()) -> None:
    """Check a model's defaults alone, so that a wrong one is found at load. Raises like `read_params`."""
    readers = _readers("text-completion") | _readers("chat-completion")
    for name, value in defaults.items():
        if name not in readers:
            raise UnsupportedParameter(f"defaults.{name} is not a parameter of text tasks", param=f"defaults.{name}")
        if value is not None:
            read = readers[name](value, f"defaults.{name}")
            if name in lacks:
                _check_lacking(name, {name: read}, "defaults.")


def _check_lacking(name: str, fields: Mapping[str, Any], where: str = "") -> None:
    if name in fields and fields[name] != getattr(_UNSET, name) and (name, fields[name]) not in _NOTHING:
        raise UnsupportedParameter(
            f"{where}{name} is not supported by this model's engine: llama-cpp has it", param=f"{where}{name}"
        )


def _read_format(given: Mapping[str, Any], grammars: Mapping[str, Any]) -> AnswerFormat | None:
    found: list[AnswerFormat] = []
    for name, reader in FORMAT_READERS.items():
        value = given.get(name)
        if value is None:
            continue
        known = named_format(grammars, value, name) if name == "grammar" and isinstance(value, str) else None
        read = known or reader(value, name)
        if read is not None:
            found.append(read)
    if len(found) > 1:
        fields = " and ".join(format_.field for format_ in found)
        raise InvalidRequest(f"{found[1].field}: found {fields}, allowed is one of them", param=found[1].field)
    return found[0] if found else None


def _check_together(task: str, params: TextParams) -> None:
    if task == "chat-completion":
        if not params.messages:
            raise InvalidRequest("messages is missing", param="messages")
        check_choice(params.tool_choice, params.tools)
    elif params.prompt is None:
        raise InvalidRequest("prompt is missing", param="prompt")
    if params.max_tokens == 0 and not params.echo:
        raise refusal("max_tokens", 0, "1 or more (0 only together with echo)")
    if params.best_of is not None and params.best_of < params.n:
        raise refusal("best_of", params.best_of, f"at least n, {params.n}")
    if params.max_tokens is not None and params.min_tokens > params.max_tokens:
        raise refusal("min_tokens", params.min_tokens, f"at most max_tokens, {params.max_tokens}")


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


def _read_breakers(value: object, name: str) -> tuple[str, ...]:
    entries = read_list(value, name, MAX_BREAKERS)
    for i, entry in enumerate(entries):
        if not read_text(entry, f"{name}[{i}]") or len(entry) > MAX_BREAKER_TEXT or "\0" in entry:
            raise refusal(f"{name}[{i}]", entry, f"text of 1 to {MAX_BREAKER_TEXT} characters without NUL")
    return tuple(entries)


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
    "typical_p": Number(0, 1).read,
    "top_n_sigma": Number(-1, 1000).read,
    "xtc_probability": Number(0, 1).read,
    "xtc_threshold": Number(0, 1).read,
    "dry_multiplier": Number(0, 100).read,
    "dry_base": Number(1, 100).read,
    "dry_allowed_length": Number(0, MAX_INT, whole=True).read,
    "dry_penalty_last_n": Number(-1, MAX_INT, whole=True).read,
    "dry_sequence_breakers": _read_breakers,
    "mirostat": Number(0, 2, whole=True).read,
    "mirostat_tau": Number(0, 100).read,
    "mirostat_eta": Number(0, 100).read,
    "dynatemp_range": Number(0, 5).read,
    "dynatemp_exponent": Number(0, 100).read,
    "min_tokens": Number(0, MAX_INT, whole=True).read,
    "logprobs": Number(0, MAX_LOGPROBS, whole=True).read,
    "best_of": Number(1, MAX_CHOICES, whole=True).read,
    **FORMAT_READERS,
}

ADVANCED = frozenset({
    "typical_p", "top_n_sigma", "xtc_probability", "dry_multiplier", "mirostat", "dynatemp_range", "min_tokens",
    "logprobs", "best_of",
})  # fmt: skip
"""What not every engine has. Their companions, such as `dry_base`, change nothing without them."""
_UNSET = TextParams()
_NOTHING = {("top_n_sigma", 0.0), ("best_of", 1)}
""" "Off", beside the defaults."""

_BY_TASK: Mapping[str, Mapping[str, _Reader]] = {
    "text-completion": {
        "prompt": _read_prompt,
        "echo": read_bool,
        "max_tokens": Number(0, MAX_INT, whole=True).read,
    },
    "chat-completion": {
        "messages": read_messages,
        "tools": read_tools,
        "tool_choice": read_choice,
        "parallel_tool_calls": read_bool,
        "chat_template_kwargs": read_map,
    },
}


def _readers(task: str) -> dict[str, _Reader]:
    return {**_COMMON, **_BY_TASK[task]}
