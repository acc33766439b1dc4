"""Pieces of grammars in llguidance's notation (a dialect of Lark), put together by plain functions."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .patterns import quoted

_JSON_STYLE: Mapping[str, object] = {
    # Names must not be spelt with \u escapes: "\u0061" would pass as another property than "a".
    "json_allowed_escapes": '"\\bfnrt',
    # Models that are forced into a form may not know what to write and go on with spaces for ever.
    "whitespace_pattern": r"\n?[ \t]{0,20}",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """`body` is an expression that stands anywhere in a rule, `definitions` are the rules that it refers to."""

    body: str
    definitions: str = ""

    @property
    def source(self) -> str:
        """The whole grammar."""
        return f"start: {self.body}\n{self.definitions}"


EMPTY = Rules('""')


def text(value: str) -> Rules:
    """Return the grammar of exactly this text."""
    return Rules(json.dumps(value, ensure_ascii=False)) if value else EMPTY


def literal(value: str, special: Mapping[str, int]) -> Rules:
    """Return the grammar of exactly this text, in which the texts of control tokens mean these tokens."""
    names = sorted((name for name in special if name and name in value), key=len, reverse=True)
    if not names:
        return text(value)
    parts = re.split("(" + "|".join(map(re.escape, names)) + ")", value)
    return sequence(*(Rules(f"<[{special[part]}]>") if part in special else text(part) for part in parts if part))


def json_value(schema: Mapping[str, Any] | bool) -> Rules:
    """Return the grammar of the JSON values that a schema allows; it has to come from `schema.hold`."""
    if schema is False:
        schema = {"enum": []}
    fields = {} if schema is True else schema
    return Rules("%json " + json.dumps({**fields, "x-guidance": _JSON_STYLE}))


def pattern(expression: str) -> Rules:
    """Return the grammar of a regular expression's texts; it has to come from `patterns.explicit`."""
    return Rules(f"/{expression}/")


def one_of(texts: Iterable[str]) -> Rules:
    """Return the grammar of some texts."""
    return pattern("|".join(f"(?:{quoted(value)})" for value in texts))


def sequence(*parts: Rules) -> Rules:
    """Return one after the other."""
    return _joined(" ", parts)


def either(parts: Sequence[Rules]) -> Rules:
    """Return the grammar of what one of them allows."""
    joined = _joined(" | ", parts)
    return Rules(f"({joined.body})", joined.definitions)


def repeated(part: Rules, least: int = 0) -> Rules:
    """Return the part `least` times (0 or 1) or more."""
    return Rules(f"({part.body}){'+' if least else '*'}", part.definitions)


def optional(part: Rules) -> Rules:
    """Return the part or nothing."""
    return Rules(f"({part.body})?", part.definitions)


def until(name: str, end: str) -> Rules:
    """Return any text up to and including `end`; `name` has to be free in the grammar."""
    return Rules(name, f"{name}[lazy]: /(?s:.*)/ {json.dumps(end, ensure_ascii=False)}\n")


def _joined(between: str, parts: Iterable[Rules]) -> Rules:
    listed = list(parts)
    return Rules(between.join(part.body for part in listed), "".join(part.definitions for part in listed))
