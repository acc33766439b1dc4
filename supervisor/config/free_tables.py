"""Checks inside the tables whose keys are free: plain values, grammars, preloads."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from .models import ModelConfig
from .problems import Findings, KeyPath

_LOWEST_INTEGER, _HIGHEST_INTEGER = -(2**63), 2**64 - 1


def check_free_tables(model: ModelConfig, path: KeyPath, findings: Findings) -> None:
    """Note values in free tables that no engine could use."""
    for name in ("defaults", "preload", "grammars", "tools", "options"):
        place = (*path, name)
        for value_path, value in _leaves(getattr(model, name), place):
            if findings.sound(value_path) and not _is_plain(value):
                findings.add(value_path, "text, true, false, 64-bit integers, numbers, lists and tables of them")
    _check_grammars(model.grammars, (*path, "grammars"), findings)
    _check_preload(model.preload, (*path, "preload"), findings)


def _leaves(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, object]]:
    if isinstance(value, Mapping):
        for key, entry in cast("Mapping[str, object]", value).items():
            yield from _leaves(entry, (*path, key))
    elif isinstance(value, list):
        for index, entry in enumerate(cast("list[object]", value)):
            yield from _leaves(entry, (*path, index))
    else:
        yield path, value


def _is_plain(value: object) -> bool:
    if isinstance(value, int):
        return _LOWEST_INTEGER <= value <= _HIGHEST_INTEGER
    return isinstance(value, str | float)


def _check_grammars(grammars: Mapping[str, Any], path: KeyPath, findings: Findings) -> None:
    for name, grammar in grammars.items():
        place = (*path, name)
        if not findings.sound(place):
            continue
        if not isinstance(grammar, Mapping) and not (isinstance(grammar, str) and grammar.strip()):
            findings.add(place, "GBNF text or a table that is a JSON Schema")


def _check_preload(preload: Mapping[str, Any], path: KeyPath, findings: Findings) -> None:
    prefix, messages = (*path, "prefix"), (*path, "messages")
    if "prefix" in preload and findings.sound(prefix) and not isinstance(preload["prefix"], str):
        findings.add(prefix, "a text")
    if "messages" in preload and findings.sound(messages):
        _check_messages(preload["messages"], messages, findings)
    if "prefix" in preload and "messages" in preload:
        findings.add(path, "either messages or prefix", found="both")


def _check_messages(messages: object, path: KeyPath, findings: Findings) -> None:
    if not isinstance(messages, list):
        findings.add(path, "a list of messages, tables with role and content")
        return
    for index, message in enumerate(cast("list[object]", messages)):
        role = cast("Mapping[str, object]", message).get("role") if isinstance(message, Mapping) else None
        if not isinstance(role, str):
            findings.add((*path, index), "a table with role and content")
