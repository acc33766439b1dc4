"""Chat templates: Jinja as models ship it, in a sandbox, with bounds on what a template may cost."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from infsup.protocol.errors import EngineFailure, InvalidRequest

from .checks import is_list

MAX_CHARACTERS = 32_000_000
MAX_STEPS = 1_000_000
"""What a template may render, and how far all its `range` calls together may count."""

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""For models without a template whose vocabulary has ChatML's tokens."""

RESERVED = frozenset({"messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token"})


class _Refused(jinja2.TemplateError):
    """The template called `raise_exception`: the conversation is not to its liking."""


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}` marks words for training; here it is only its body."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own declaration

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return the body."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Refuse operations that make huge texts, lists or numbers out of small ones."""
        sizes = [len(side) for side in (left, right) if isinstance(side, str) or is_list(side)]
        numbers = [abs(side) for side in (left, right) if isinstance(side, int)]
        if operator == "+" and sum(sizes) > MAX_CHARACTERS:
            raise jinja2.TemplateRuntimeError("the text grows too long")
        if operator == "*" and sizes and numbers and sizes[0] * numbers[0] > MAX_CHARACTERS:
            raise jinja2.TemplateRuntimeError("the text grows too long")
        if operator == "**" and (max(numbers, default=0) > 1024 or sizes):
            raise jinja2.TemplateRuntimeError("the number grows too large")
        return super().call_binop(context, operator, left, right)


class ChatTemplate:
    """A model's chat templates, compiled: "default", and perhaps "tool_use" for requests with tools."""

    def __init__(self, sources: Mapping[str, str], names: Mapping[str, str]) -> None:
        """`names` are texts of tokens for the template. Raises `jinja2.TemplateSyntaxError`."""
        environment = _Environment(
            trim_blocks=True, lstrip_blocks=True, autoescape=False, extensions=[_Generation, loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        functions: dict[str, Any] = {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
        self._sources = dict(sources)
        self._templates = {name: environment.from_string(source, functions) for name, source in sources.items()}
        self._names = dict(names)

    def source(self, *, tools: bool) -> str:
        """Return the template's text, as it is for requests with tools or without."""
        return self._sources[self._kind(tools=tools)]

    def _kind(self, *, tools: bool) -> str:
        return "tool_use" if tools and "tool_use" in self._templates else "default"

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        options: Mapping[str, Any] | None = None,
        answer: bool = True,
    ) -> str:
        """Return the conversation as text; with `answer` the assistant's turn is opened at its end.

        Raises `InvalidRequest` when the template refuses the conversation, `EngineFailure` when it fails.
        """
        kind = self._kind(tools=bool(tools))
        variables: dict[str, Any] = {
            **self._names,
            **(options or {}),
            "messages": list(messages),
            "tools": list(tools) or None,
            "documents": None,
            "add_generation_prompt": answer,
            "range": _counted_range(MAX_STEPS),
        }
        try:
            return _joined(self._templates[kind].generate(variables), MAX_CHARACTERS)
        except _Refused as error:
            raise InvalidRequest(f"messages: the chat template refuses them: {error}", param="messages") from error
        except Exception as error:
            raise EngineFailure(f"the chat template failed: {type(error).__name__}: {error}") from error


def _joined(parts: Iterable[str], limit: int) -> str:
    return "".join(_bounded(parts, limit))


def _bounded(parts: Iterable[str], limit: int) -> Iterator[str]:
    for part in parts:
        limit -= len(part)
        if limit < 0:
            raise jinja2.TemplateRuntimeError("the text grows too long")
        yield part


def _counted_range(budget: int) -> Callable[..., range]:
    def counted(*arguments: int) -> range:
        nonlocal budget
        steps = range(*arguments)
        budget -= len(steps)
        if budget < 0:
            raise jinja2.TemplateRuntimeError("the loops are too long")
        return steps

    return counted


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as models saw it in training: keys in their order, nothing escaped for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    raise _Refused(message)


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)
