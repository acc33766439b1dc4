"""What a single value may be: each rule checks one value strictly and says in words what it allows.

Rules stand in the annotations of the models: `Annotated[int, whole(1, 64)]`. None converts between texts and numbers;
an integer passes as a number.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import GetCoreSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from .units import MAX_BYTES, Share, Size, parse_duration, parse_share, parse_size

NOT_ALLOWED = "not_allowed"
"""The type of the validation errors that rules raise; their context has `allowed` and `note`."""
MAX_INTEGER = 2**31 - 1
MAX_NUMBER = 1e9


class Refused(Exception):
    """The value is not allowed; the text, if any, adds why."""


@dataclass(frozen=True)
class Rule:
    """Checks one value. `allowed` says in words what passes.

    `read` gets the value and the directory where relative paths start; it returns the typed value or raises `Refused`.
    """

    allowed: str
    read: Callable[[object, Path], object]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Let pydantic check with `read`."""
        return core_schema.with_info_plain_validator_function(self._validate)

    def _validate(self, value: object, info: core_schema.ValidationInfo) -> object:
        context = cast("dict[str, Path]", info.context or {})
        try:
            return self.read(value, context.get("base", Path()))
        except Refused as refusal:
            raise _not_allowed(self.allowed, str(refusal)) from None


@dataclass(frozen=True)
class ListOf:
    """A list whose items have rules of their own; it becomes a tuple."""

    items: str

    @property
    def allowed(self) -> str:
        """What passes, in words."""
        return f"a list of {self.items}"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Check that it is a list, then the items."""
        return core_schema.no_info_before_validator_function(self._as_tuple, handler(source))

    def _as_tuple(self, value: object) -> tuple[object, ...]:
        if not isinstance(value, list | tuple):
            raise _not_allowed(self.allowed)
        return tuple(cast("list[object]", value))


def _not_allowed(allowed: str, note: str = "") -> PydanticCustomError:
    return PydanticCustomError(NOT_ALLOWED, "allowed: {allowed}", {"allowed": allowed, "note": note})


def flag() -> Rule:
    """Allow true and false."""

    def read(value: object, _base: Path) -> bool:
        if isinstance(value, bool):
            return value
        raise Refused

    return Rule("true, false", read)


def whole(low: int = 0, high: int = MAX_INTEGER, special: str = "") -> Rule:
    """Allow integers from `low` to `high`; `special` explains one of them."""

    def read(value: object, _base: Path) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Refused
        if not low <= value <= high:
            raise Refused(f"over {high}" if value > high else "")
        return value

    limits = f"{low} or more" if high in {MAX_INTEGER, 2**63 - 1} else f"{low} to {high}"
    return Rule(f"an integer, {limits}" + (f", {special}" if special else ""), read)


def number(low: float = 0, high: float = MAX_NUMBER, *, above: bool = False) -> Rule:
    """Allow finite numbers from `low` to `high`; with `above`, `low` itself does not pass."""

    def read(value: object, _base: Path) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Refused
        if not low <= value <= high or (above and value == low):  # nan fails the first comparison
            raise Refused(f"over {high:.10g}" if value > high else "")
        return float(value)

    if high < MAX_NUMBER:
        return Rule(f"a number over {low:g}, to {high:g}" if above else f"a number, {low:g} to {high:g}", read)
    return Rule(f"a number over {low:g}" if above else f"a number, {low:g} or more", read)


def seconds(*, positive: bool = False, zero: str = "", never: str = "") -> Rule:
    """Allow durations; `zero` and `never` say what 0 and -1 mean, `positive` forbids 0."""
    plain = number(0, above=positive)

    def read(value: object, base: Path) -> object:
        if isinstance(value, str):
            try:
                value = parse_duration(value)
            except ValueError:
                raise Refused from None
        if never and value == -1 and not isinstance(value, bool):
            return -1.0
        return plain.read(value, base)

    words = [f'seconds ({"more than 0" if positive else "0 or more"}) or text such as "5m" or "1h30m"']
    words += [f"0 for {zero}"] if zero else []
    words += [f"-1 for {never}"] if never else []
    return Rule(", ".join(words), read)


def byte_size(*, share: bool = False, optional: bool = False) -> Rule:
    """Allow sizes in bytes; with `share` also percentages, with `optional` also "", which becomes None."""

    def read(value: object, _base: Path) -> Size | Share | None:
        if optional and value == "":
            return None
        size: Size | Share
        if isinstance(value, int) and not isinstance(value, bool):
            size = Size(value)
        elif isinstance(value, str):
            try:
                size = parse_share(value) if share and "%" in value else parse_size(value)
            except ValueError:
                raise Refused from None
        else:
            raise Refused
        if isinstance(size, Size) and not 1 <= size.bytes <= MAX_BYTES:
            raise Refused
        return size

    words = ['bytes (1 or more) or text such as "50MB" or "4GiB"']
    words += ['a share such as "80%"'] if share else []
    words += ['"" for none'] if optional else []
    return Rule(", ".join(words), read)


def choice(*words: str) -> Rule:
    """Allow one of a few words."""

    def read(value: object, _base: Path) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise Refused

    return Rule(", ".join(f'"{word}"' for word in words), read)


def text(pattern: str, words: str, *, optional: bool = False) -> Rule:
    """Allow texts that match a pattern as a whole; with `optional` also ""."""

    def read(value: object, _base: Path) -> str:
        if isinstance(value, str) and ((optional and not value) or re.fullmatch(pattern, value)):
            return value
        raise Refused

    return Rule(f'{words}, or "" for none' if optional else words, read)
