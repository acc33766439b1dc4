"""What form a request wants its answer in: the several fields in which clients say so, as one `AnswerFormat`."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from infsup.protocol.errors import InvalidRequest, UnsupportedParameter
from infsup.workers.generation.grammar import lark
from infsup.workers.generation.grammar.closing import closed
from infsup.workers.generation.grammar.gbnf import gbnf
from infsup.workers.generation.grammar.lark import Rules
from infsup.workers.generation.grammar.patterns import PatternError, explicit
from infsup.workers.generation.grammar.schema import hold

from .checks import is_map, read_list, read_map, read_text, refusal

MAX_CHOICES = 10_000
_SOURCES = ("json", "regex", "choice", "grammar", "json_object")
_TYPES = ("text", "json_object", "json_schema", "grammar")
_ANY_OBJECT: Mapping[str, Any] = {"type": "object"}


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """`kind` is "schema", "regex", "choice" or "gbnf"; `field` is where the request said it."""

    kind: str
    value: Any
    field: str

    def rules(self) -> Rules:
        """Return its grammar. Raises `InvalidRequest` and `UnsupportedParameter` naming the place of a mistake."""
        if self.kind == "schema":
            return lark.json_value(closed(hold(self.value, self.field)))
        if self.kind == "gbnf":
            return gbnf(self.value, self.field)
        if self.kind == "choice":
            return lark.one_of(self.value)
        try:
            return lark.pattern(explicit(self.value, whole=True))
        except PatternError as error:
            raise UnsupportedParameter(
                f"{self.field}: character {error.position + 1} begins {error.problem}", param=self.field
            ) from error


def read_response_format(value: object, name: str) -> AnswerFormat | None:
    """Read OpenAI's `response_format`; None for plain text."""
    given = read_map(value, name)
    kind = given.get("type")
    if kind not in _TYPES:
        raise refusal(f"{name}.type", kind, " or ".join(map(repr, _TYPES)))
    if kind == "text":
        return None
    if kind == "grammar":
        return read_gbnf_text(given.get("grammar"), f"{name}.grammar")
    if kind == "json_object":
        schema = given.get("schema")
        return AnswerFormat(
            "schema", _ANY_OBJECT if schema is None else schema, name if schema is None else f"{name}.schema"
        )
    outer = read_map(given.get("json_schema"), f"{name}.json_schema")
    if "schema" not in outer:
        raise InvalidRequest(f"{name}.json_schema.schema: is missing", param=f"{name}.json_schema.schema")
    return AnswerFormat("schema", outer["schema"], f"{name}.json_schema.schema")


def read_schema(value: object, name: str) -> AnswerFormat:
    """Read a JSON Schema, perhaps as text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"{name}: found text that is no JSON ({error})", param=name) from error
    if not is_map(value):
        raise refusal(name, value, "a JSON Schema")
    return AnswerFormat("schema", value, name)


def read_regex(value: object, name: str) -> AnswerFormat:
    """Read a regular expression that the whole answer has to match."""
    return AnswerFormat("regex", read_text(value, name), name)


def read_choice(value: object, name: str) -> AnswerFormat:
    """Read a list of texts of which the answer has to be one."""
    texts = read_list(value, name, MAX_CHOICES)
    if not texts:
        raise refusal(name, texts, "a list of at least one text")
    for i, text in enumerate(texts):
        if not read_text(text, f"{name}[{i}]"):
            raise refusal(f"{name}[{i}]", text, "text of at least one character")
    return AnswerFormat("choice", tuple(texts), name)


def read_gbnf_text(value: object, name: str) -> AnswerFormat:
    """Read a grammar in GBNF."""
    return AnswerFormat("gbnf", read_text(value, name), name)


def read_structured_outputs(value: object, name: str) -> AnswerFormat | None:
    """Read an object with one of `json`, `regex`, `choice`, `grammar` and `json_object`."""
    given = {key: entry for key, entry in read_map(value, name).items() if entry is not None and entry is not False}
    for key in given:
        if key not in _SOURCES:
            raise UnsupportedParameter(f"{name}.{key} is not supported", param=f"{name}.{key}")
    if len(given) > 1:
        raise refusal(name, ", ".join(given), f"one of {', '.join(_SOURCES)}")
    for key, entry in given.items():
        if key == "json_object":
            return AnswerFormat("schema", _ANY_OBJECT, f"{name}.{key}")
        return _READERS[key](entry, f"{name}.{key}")
    return None


def named_format(grammars: Mapping[str, Any], name: str, field: str) -> AnswerFormat | None:
    """Return a configured grammar: GBNF, or a table that is a JSON Schema; "json" always exists. None if unknown."""
    if name in grammars:
        value: Any = grammars[name]
        return AnswerFormat("schema" if is_map(value) else "gbnf", value, field)
    return AnswerFormat("schema", _ANY_OBJECT, field) if name == "json" else None


_READERS: Mapping[str, Callable[[object, str], AnswerFormat]] = {
    "json": read_schema,
    "regex": read_regex,
    "choice": read_choice,
    "grammar": read_gbnf_text,
}

FORMAT_READERS: Mapping[str, Callable[[object, str], AnswerFormat | None]] = {
    "response_format": read_response_format,
    "structured_outputs": read_structured_outputs,
    "guided_json": read_schema,
    "guided_regex": read_regex,
    "guided_choice": read_choice,
    "guided_grammar": read_gbnf_text,
    "json_schema": read_schema,
    "grammar": read_gbnf_text,
}
"""The request's fields; at most one may ask for something."""
