"""Objects that say nothing about other properties get none.

By the letter of JSON Schema they may have any. What people mean by a list of properties is that list, and models that
may always write one more do not find the end. `additionalProperties: true` asks for more.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from infsup.workers.generation.checks import is_list, is_map

from . import keywords
from .places import JsonMap

_ALONGSIDE = frozenset({"anyOf", "oneOf", "$ref"})


def closed(schema: JsonMap | bool) -> JsonMap | bool:
    """Return a schema from `schema.hold` with its objects closed; one that puts objects together stays as it is.

    (What one part of `allOf` names, the others must not forbid.)
    """
    return schema if isinstance(schema, bool) or any(map(_combines, _schemas(schema))) else _close(schema)


def _combines(schema: Mapping[str, Any]) -> bool:
    return "allOf" in schema or bool(_ALONGSIDE & schema.keys() and keywords.OF_OBJECTS & schema.keys())


def _schemas(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a schema and all below it."""
    yield schema
    for _, entry in _below(schema):
        for one in entry.values() if is_map(entry) else entry:
            if is_map(one):
                yield from _schemas(one)


def _below(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the keywords that have schemas: in a map, in a list or (as a list of one) alone."""
    for name, entry in schema.items():
        if name in {*keywords.MAPS_OF_SCHEMAS, *keywords.LISTS_OF_SCHEMAS, "patternProperties"}:
            yield name, entry
        elif name in {"items", "additionalProperties"}:
            yield name, [entry]


def _close(schema: Mapping[str, Any]) -> JsonMap:
    made = dict(schema)
    for name, entry in _below(schema):
        if is_map(entry):
            made[name] = {key: _closed_below(one) for key, one in entry.items()}
        else:
            below = [_closed_below(one) for one in entry]
            made[name] = below if is_list(schema[name]) else below[0]
    names = schema.get("properties", {})
    says_more = {"additionalProperties", "patternProperties"} & schema.keys()
    if names and not says_more and set(schema.get("required", ())) <= names.keys():
        made["additionalProperties"] = False
    return made


def _closed_below(schema: Any) -> Any:
    return _close(schema) if is_map(schema) else schema
