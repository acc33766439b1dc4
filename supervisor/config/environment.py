"""`${NAME}` in texts is replaced from the environment; the walk also makes any mapping plain and bounded."""

import re
from collections.abc import Mapping
from typing import Any, cast

from .problems import Findings, KeyPath, kind_of

MAX_DEPTH = 32
"""Tables and lists inside one another; far more than any key needs."""
_REFERENCE = re.compile(r"(\$?)\$\{(?:([A-Za-z_][A-Za-z0-9_]*)\})?")


def expand(table: Mapping[Any, Any], env: Mapping[str, str], findings: Findings) -> dict[str, Any]:
    """Return a copy of a configuration with `${NAME}` replaced in every text and `$${` made `${`.

    Mappings become dicts, lists and tuples become lists. Texts with mistakes stay as they are and are noted.
    """
    return cast("dict[str, Any]", _Expansion(env, findings).value(table, ()))


class _Expansion:
    def __init__(self, env: Mapping[str, str], findings: Findings) -> None:
        self._env = env
        self._findings = findings

    def value(self, value: object, path: KeyPath) -> object:
        if isinstance(value, str):
            return self._text(value, path)
        if not isinstance(value, Mapping | list | tuple):
            return value
        if len(path) > MAX_DEPTH:
            self._findings.add(path[:MAX_DEPTH], f"at most {MAX_DEPTH} levels of tables and lists", found="more")
            return None
        if isinstance(value, Mapping):
            return self._table(cast("Mapping[object, object]", value), path)
        items = cast("list[object]", value)
        return [self.value(item, (*path, index)) for index, item in enumerate(items)]

    def _table(self, table: Mapping[object, object], path: KeyPath) -> dict[str, object]:
        copy: dict[str, object] = {}
        for key, value in table.items():
            if isinstance(key, str) and _is_unicode(key):
                copy[key] = self.value(value, (*path, key))
            else:
                place = (*path, ascii(key) if isinstance(key, str) else repr(key))
                self._findings.add(place, "keys that are valid Unicode texts", found=f"{kind_of(key)} as a key")
        return copy

    def _text(self, text: str, path: KeyPath) -> str:
        problems = {self._problem(match) for match in _REFERENCE.finditer(text)} - {""}
        if not _is_unicode(text):
            self._findings.add(path, "valid Unicode text", found="text that is not valid Unicode")
            return ""
        if problems:
            self._findings.add(
                path, "${NAME} of a variable that is set, $${ for a plain ${", note=", ".join(sorted(problems))
            )
            return text
        expanded = _REFERENCE.sub(self._replacement, text)
        if not _is_unicode(expanded):
            self._findings.add(path, "variables with valid Unicode text", note="the variable's value is not")
        return expanded

    def _problem(self, match: re.Match[str]) -> str:
        if match[1]:
            return ""
        if match[2] is None:
            return "a variable's name has letters, digits and _"
        return "" if match[2] in self._env else f"the environment variable {match[2]} is not set"

    def _replacement(self, match: re.Match[str]) -> str:
        return match[0][1:] if match[1] else self._env[match[2]]


def _is_unicode(text: str) -> bool:
    """Tell whether the text has no lone surrogates, which neither msgpack nor JSON can carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
