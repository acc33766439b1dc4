"""Checks inside the tables whose keys are free: plain values, plausible defaults, grammars, preloads."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from .models import ModelConfig
from .problems import Findings, KeyPath
from .rules import Refused, Rule, choice, flag, number, whole

_TOKENS = whole(1)
_PENALTY = number(-2, 2)
_KNOWN_DEFAULTS: Mapping[str, Rule] = {
    "temperature": number(),
    "top_p": number(0, 1),
    "min_p": number(0, 1),
    "typical_p": number(0, 1),
    "top_k": whole(0),
    "repeat_penalty": number(0, above=True),
    "repeat_last_n": whole(-1),
    "frequency_penalty": _PENALTY,
    "presence_penalty": _PENALTY,
    "seed": whole(-(2**63), 2**63 - 1),
    "max_tokens": _TOKENS,
    "max_completion_tokens": _TOKENS,
    "n": whole(1, 128),
    "logprobs": whole(0, 20),
    "top_logprobs": whole(0, 20),
    "echo": flag(),
    "reasoning_effort": choice("none", "minimal", "low", "medium", "high", "xhigh"),
}
_LOWEST_INTEGER, _HIGHEST_INTEGER = -(2**63), 2**64 - 1


def check_free_tables(model: ModelConfig, path: KeyPath, findings: Findings) -> None:
    """Note values in free tables that no engine could use."""
    for name in ("defaults", "preload", "grammars", "tools", "options"):
        place = (*path, name)
        for value_path, value in _leaves(getattr(model, name), place):
            if findings.sound(value_path) and not _is_plain(value):
                findings.add(value_path, "text, true, false, 64-bit integers, numbers, lists and tables of them")
    _check_defaults(model.defaults, (*path, "defaults"), findings)
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


def _check_defaults(defaults: Mapping[str, Any], path: KeyPath, findings: Findings) -> None:
    for name, value in defaults.items():
        place = (*path, name)
        if not findings.sound(place):
            continue
        rule = _KNOWN_DEFAULTS.get(name)
        if name == "logprobs" and isinstance(value, bool):
            continue  # a count for completions, a switch for chats
        if name == "stop":
            if not _is_stop(value):
                findings.add(place, "a text or a list of texts, none of them empty")
        elif name == "logit_bias":
            if not isinstance(value, Mapping):
                findings.add(place, "a table of token numbers and biases")
        elif rule:
            try:
                rule.read(value, Path())
            except Refused as refusal:
                findings.add(place, rule.allowed, note=str(refusal))


def _is_stop(value: object) -> bool:
    texts: Sequence[object] = cast("list[object]", value) if isinstance(value, list) else [value]
    return all(isinstance(text, str) and text for text in texts)


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
