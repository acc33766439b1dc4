"""Checks of single untrusted values; every refusal names the field, what was found and what is allowed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from infsup.protocol.errors import InvalidRequest


def is_map(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Tell whether it is a map."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Tell whether it is a list or a tuple."""
    return isinstance(value, list | tuple)


def refusal(name: str, value: object, allowed: str) -> InvalidRequest:
    """Return the error for a wrong value of the field `name`."""
    return InvalidRequest(f"{name}: found {_shown(value)}, allowed is {allowed}", param=name)


def _shown(value: object) -> str:
    if isinstance(value, str | bytes) or is_list(value) or is_map(value):
        short = isinstance(value, str) and len(value) <= 40
        return repr(value) if short else f"{_KINDS.get(type(value), type(value).__name__)} of length {len(value)}"
    if value is None or isinstance(value, bool):
        return _JSON_NAMES[value]
    return repr(value)[:40]


_KINDS: Mapping[type, str] = {dict: "an object", list: "an array", tuple: "an array", str: "text", bytes: "bytes"}
_JSON_NAMES: Mapping[bool | None, str] = {None: "null", True: "true", False: "false"}


@dataclass(frozen=True, slots=True)
class Number:
    """The range of a number, both ends included; `whole` for integers."""

    low: float
    high: float
    whole: bool = False
    above: bool = False
    """`low` itself is excluded."""

    def read(self, value: object, name: str) -> Any:
        """Return the value as int or float. Booleans, NaN and infinity are no numbers here."""
        wanted = (int,) if self.whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise refusal(name, value, self.allowed())
        if not math.isfinite(value) or not self.low <= value <= self.high or (self.above and value == self.low):
            raise refusal(name, value, self.allowed())
        return value if self.whole else float(value)

    def allowed(self) -> str:
        """Describe the range."""
        kind = "a whole number" if self.whole else "a number"
        low = f"above {self.low} up to" if self.above else f"from {self.low} to"
        return f"{kind} {low} {self.high}"


def read_bool(value: object, name: str) -> bool:
    """Return a boolean."""
    if not isinstance(value, bool):
        raise refusal(name, value, "true or false")
    return value


def read_text(value: object, name: str) -> str:
    """Return a string that can be encoded as UTF-8 (lone surrogates cannot)."""
    if not isinstance(value, str):
        raise refusal(name, value, "text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequest(
                f"{name}: found half of a surrogate pair at character {error.start}, allowed is Unicode text",
                param=name,
            ) from error
    return value


def read_map(value: object, name: str) -> Mapping[str, Any]:
    """Return a map with text keys."""
    if not is_map(value):
        raise refusal(name, value, "an object")
    for key in value:
        if not isinstance(key, str):
            raise refusal(name, key, "an object with text keys")
    return value


def read_list(value: object, name: str, most: int | None = None) -> list[Any]:
    """Return a list of at most `most` entries."""
    if not is_list(value):
        raise refusal(name, value, "a list")
    entries = list(value)
    if most is not None and len(entries) > most:
        raise refusal(name, value, f"a list of at most {most} entries")
    return entries
