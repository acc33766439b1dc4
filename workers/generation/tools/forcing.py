"""Grammars for calls, whose arguments then validate against the function's schema always: forced calls, and strict ones
where the model itself decides whether to call.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from infsup.workers.generation.grammar import lark
from infsup.workers.generation.grammar.closing import closed
from infsup.workers.generation.grammar.lark import Rules
from infsup.workers.generation.grammar.schema import hold

from .definitions import NO_PARAMETERS, Tool
from .formats import CallFormat

Tools = Sequence[tuple[int, Tool]]
"""Tools and their places in the request."""

_ANY: Mapping[str, Any] = {"type": "object"}


def forced_calls(form: CallFormat, tools: Tools, special: Mapping[str, int], *, several: bool) -> Rules:
    """Return the grammar of one call of one of `tools` or, where the format can write them, of `several`.

    Raises `InvalidRequest` and `UnsupportedParameter` naming the place in a tool's schema.
    """
    return _calls(form, [(tool.name, _schema(tool, place)) for place, tool in tools], special, several=several)


def free_calls(form: CallFormat, tools: Tools, special: Mapping[str, int]) -> Rules:
    """Return the grammar of answers in which all that begins like a call is one, and everything else is free.

    Arguments of tools that are not strict may be any object. Raises like `forced_calls`.
    """
    functions = [(tool.name, _schema(tool, place) if tool.strict else _ANY) for place, tool in tools]
    if form.bare:
        return lark.either([
            _calls(form, functions, special, several=form.between is not None),
            lark.pattern(r"(?s:[^{\s].*)?"),
        ])  # fmt: skip
    anything = lark.pattern("(?s:.*)")
    if form.begin in special:
        begun = lark.sequence(anything, lark.literal(form.begin, special))
    else:
        begun = lark.until("call_begun", form.begin)
    calls = _calls(form, functions, special, several=form.listed, skip=form.begin)
    return lark.sequence(lark.repeated(lark.sequence(begun, calls)), anything)


def _schema(tool: Tool, place: int) -> Mapping[str, Any]:
    schema = closed(hold(tool.parameters or NO_PARAMETERS, f"tools[{place}].function.parameters"))
    return {"type": "object"} | schema if isinstance(schema, dict) else _ANY


def _calls(
    form: CallFormat,
    functions: Sequence[tuple[str, Mapping[str, Any]]],
    special: Mapping[str, int],
    *,
    several: bool,
    skip: str = "",
) -> Rules:
    """Return the grammar of calls, of which the first `skip` was written already."""
    calls = lark.either([_call(form, name, schema, special, skip) for name, schema in functions])
    if several and form.between is not None:
        next_one = lark.sequence(lark.literal(form.between, special), calls)
        calls = lark.sequence(calls, lark.repeated(next_one))
    if form.listed:
        return lark.sequence(lark.literal(f"{form.before}[".removeprefix(skip), special), calls, lark.text("]"))
    return calls


def _call(form: CallFormat, name: str, schema: Mapping[str, Any], special: Mapping[str, int], skip: str) -> Rules:
    if form.name_end:
        head, foot = f"{form.before}{name}{form.name_end}", form.after
    else:
        before = "" if form.listed or form.bare else form.before
        head, foot = f'{before}{{"name": "{name}", "{form.key}": ', "}" + ("" if form.bare else form.after)
    if not form.listed:
        head = head.removeprefix(skip)
    return lark.sequence(lark.literal(head, special), lark.json_value(schema), lark.literal(foot, special))
