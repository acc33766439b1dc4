"""Grammars for answers that have to be calls: the arguments validate against the function's schema, always."""

from collections.abc import Mapping, Sequence

from infsup.workers.generation.grammar import lark
from infsup.workers.generation.grammar.lark import Rules
from infsup.workers.generation.grammar.schema import hold

from .definitions import NO_PARAMETERS, Tool
from .formats import CallFormat


def forced_calls(
    form: CallFormat, tools: Sequence[tuple[int, Tool]], special: Mapping[str, int], *, several: bool
) -> Rules:
    """Return the grammar of one call of one of `tools` (each with its place in the request), or, where the format can
    write them, of `several`.

    Raises `InvalidRequest` and `UnsupportedParameter` naming the place in a tool's schema.
    """
    calls = [_call(form, i, tool, special) for i, tool in tools]
    call = lark.either(calls)
    if several and form.between is not None:
        call = lark.sequence(call, lark.repeated(lark.sequence(lark.literal(form.between, special), call)))
    if form.listed:
        return lark.sequence(lark.literal(f"{form.before}[", special), call, lark.text("]"))
    return call


def _call(form: CallFormat, place: int, tool: Tool, special: Mapping[str, int]) -> Rules:
    schema = hold(tool.parameters or NO_PARAMETERS, f"tools[{place}].function.parameters")
    if isinstance(schema, dict) and "type" not in schema:
        schema = {"type": "object", **schema}
    if form.name_end:
        head, foot = f"{form.before}{tool.name}{form.name_end}", form.after
    else:
        before = "" if form.listed or form.bare else form.before
        head, foot = f'{before}{{"name": "{tool.name}", "{form.key}": ', "}" + ("" if form.bare else form.after)
    return lark.sequence(lark.literal(head, special), lark.json_value(schema), lark.literal(foot, special))
