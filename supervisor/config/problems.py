"""Mistakes in a configuration, and how they are told: all of them at once, each with place, found and allowed."""

import datetime
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

KeyPath = tuple[str | int, ...]
"""Where a value stands: keys, and indices of list items."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_USER_INFO = re.compile(r"(?<=://)[^/\s@]+@")
_MAX_SHOWN = 80
_SECRET: KeyPath = ("server", "api_keys")


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `line` counts from 1, None when unknown; an empty `key_path` means the file as a whole.

    For a value from the command line, `key_path` is the option, such as `--port`, and `file` is empty. `note` explains
    `found`, e.g. a suggestion. Secrets stand in none of the texts. A `warning` is no mistake: nothing is
    refused for it.
    """

    key_path: str
    found: str
    allowed: str
    note: str = ""
    file: str = ""
    line: int | None = None
    warning: bool = False

    @property
    def message(self) -> str:
        """What is wrong, in one sentence without the place."""
        note = f" ({self.note})" if self.note else ""
        return f"found {self.found}{note}, allowed: {self.allowed}"

    def __str__(self) -> str:
        """Return `file:line: key: found …, allowed: …`; parts that are unknown are left out."""
        place = f"{self.file}:{self.line}" if self.file and self.line else self.file
        kind = "warning" if self.warning else ""
        return ": ".join(part for part in (place, self.key_path, kind, self.message) if part)

    def to_json(self) -> dict[str, Any]:
        """Return the form that `--json` prints."""
        return {
            "file": self.file,
            "line": self.line,
            "key": self.key_path,
            "found": self.found,
            "allowed": self.allowed,
            "message": self.message,
            "severity": "warning" if self.warning else "error",
        }


class ConfigError(Exception):
    """A configuration that cannot be used; `problems` has every mistake, at least one."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep the problems; the text of the error is all of them."""
        super().__init__(format_problems(problems))
        self.problems = tuple(problems)


def format_problems(problems: Iterable[Problem]) -> str:
    """Return plain text, one line for each problem."""
    return "\n".join(map(str, problems))


def format_path(path: KeyPath) -> str:
    """Return a path as TOML would write it: `models."llama3:8b".aliases[1]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            key = part if _BARE_KEY.fullmatch(part) else json.dumps(part, ensure_ascii=False)
            text += f".{key}" if text else key
    return text


def show(value: object) -> str:
    """Return a value as the user would recognise it: short, TOML-like, without passwords of addresses."""
    if isinstance(value, str):
        text = _USER_INFO.sub("…@", value)
        return json.dumps(text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…", ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 64:
        return "a very large integer"
    if isinstance(value, int | float):
        return str(value)
    return kind_of(value)


def kind_of(value: object) -> str:
    """Name the type of a value, without showing it."""
    if value is None:
        return "nothing"
    other = f"a {type(value).__name__}"
    kinds: Sequence[tuple[type | tuple[type, ...], str]] = (
        (str, "text"),
        (bool, "a boolean"),
        (int, "an integer"),
        (float, "a number"),
        (Mapping, "a table"),
        ((list, tuple), "a list"),
        ((datetime.date, datetime.time), "a date or time"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), other)


class Findings:
    """Collects the problems of one configuration.

    `raw` is the configuration as it was written (before `${NAME}` is replaced, so that no secret of the environment
    is shown), `lines` the lines of its keys, `file` the name to show. `flags` has the command-line options that gave
    values in place of the file; their mistakes are told with the option's name, without file and line.
    """

    def __init__(
        self,
        raw: Mapping[str, Any],
        lines: Mapping[KeyPath, int],
        file: str,
        flags: Mapping[KeyPath, str] | None = None,
    ) -> None:
        """Start without problems."""
        self._flags = flags or {}
        self._raw = raw
        self._lines = lines
        self._file = file
        self._found: list[tuple[KeyPath, Problem]] = []
        self._warnings: list[Problem] = []

    def add(self, path: KeyPath, allowed: str, *, found: str | None = None, note: str = "") -> None:
        """Note a mistake at `path`; without `found`, the value that was written there is shown."""
        self._found.append((path, self._describe(path, allowed, found, note)))

    def warn(self, path: KeyPath, allowed: str, *, found: str | None = None, note: str = "") -> None:
        """Note what is odd at `path` but no mistake; it does not make the path unsound."""
        self._warnings.append(replace(self._describe(path, allowed, found, note), warning=True))

    def _describe(self, path: KeyPath, allowed: str, found: str | None, note: str) -> Problem:
        if found is None:
            value = self._written_at(path)
            found = kind_of(value) if path[: len(_SECRET)] == _SECRET and value != "" else show(value)
        if path in self._flags:
            return Problem(self._flags[path], found, allowed, note)
        return Problem(format_path(path), found, allowed, note, self._file, self._line_of(path))

    def sound(self, *paths: KeyPath) -> bool:
        """Tell whether nothing is known against these paths, what they contain and what contains them."""
        return not any(found[: len(path)] == path[: len(found)] for path in paths for found, _ in self._found)

    def is_table(self, path: KeyPath) -> bool:
        """Tell whether a table was written at a path."""
        return isinstance(self._written_at(path), Mapping)

    def paths(self) -> frozenset[KeyPath]:
        """Return the paths with problems."""
        return frozenset(path for path, _ in self._found)

    def problems(self) -> tuple[Problem, ...]:
        """Return the problems in the order of the file; those without a line come last."""
        return _in_order(problem for _, problem in self._found)

    def warnings(self) -> tuple[Problem, ...]:
        """Return the warnings in the same order."""
        return _in_order(self._warnings)

    def _written_at(self, path: KeyPath) -> object:
        value: object = self._raw
        for part in path:
            if isinstance(value, Mapping):
                value = cast("Mapping[Any, object]", value).get(part)
            elif isinstance(value, list | tuple) and isinstance(part, int) and part < len(cast("list[object]", value)):
                value = cast("Sequence[object]", value)[part]
            else:
                return None
        return value

    def _line_of(self, path: KeyPath) -> int | None:
        """Return the line of the key, or of the nearest table around it."""
        return next((line for end in range(len(path), 0, -1) if (line := self._lines.get(path[:end]))), None)


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda one: (one.line is None, one.line or 0)))
