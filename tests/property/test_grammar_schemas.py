"""Whatever schema: it is refused with its place, or every text that its grammar allows is valid."""

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infsup.protocol.errors import InvalidRequest, UnsupportedParameter
from infsup.workers.generation.grammar import lark
from infsup.workers.generation.grammar.closing import closed
from infsup.workers.generation.grammar.formats import FORMATS
from infsup.workers.generation.grammar.schema import hold

from .grammar_walks import walk

Schema = dict[str, Any]

NAMES = st.sampled_from(["a", "b", "ab", "a b", 'q"', "\\", "é", "", "\\u0061", "a/b~c", "$ref"])
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)), max_size=4)
SMALL = st.integers(-30, 30)
NUMBERS = SMALL | st.sampled_from([0.5, -0.25, 2.5, 0.1, 10.75])
VALUES = st.recursive(
    st.none() | st.booleans() | SMALL | st.sampled_from([0.5, -1.25]) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=3,
)
PATTERNS = st.sampled_from([
    "a", "^a", "b$", "^[a-c]{1,3}$", "^a|b$", r"^\d+$", r"^\w+\s\W$", r"^[^\s\d]{2}$", "^.{2,4}$", r"^[A-Z][a-z]*$",
    r'^["\\]+$', "^(ab|cd)*e?$", "^é+$", r"^[^\w]$", r"^\S\D$", "^a&&b[&~-]$",
])  # fmt: skip
COUNTS = st.integers(0, 3)


def optional(always: dict[str, st.SearchStrategy[Any]], /, **others: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(always, optional=others)


LEAVES: st.SearchStrategy[Any] = st.one_of(
    optional(
        {"type": st.just("integer")},
        minimum=NUMBERS, maximum=NUMBERS, exclusiveMinimum=NUMBERS, exclusiveMaximum=NUMBERS,
        multipleOf=st.sampled_from([1, 2, 3, 5, 0.5]),
    ),
    optional(
        {"type": st.just("number")},
        minimum=NUMBERS, maximum=NUMBERS, exclusiveMinimum=NUMBERS, exclusiveMaximum=NUMBERS,
    ),
    optional(
        {"type": st.just("string")}, minLength=COUNTS, maxLength=st.integers(0, 6), pattern=PATTERNS,
        format=st.sampled_from([*FORMATS, "iri"]),
    ),
    optional({}, type=st.sampled_from(["null", "boolean", ["integer", "null"], ["string", "number"]]), minimum=SMALL),
    st.fixed_dictionaries({"enum": st.lists(VALUES, min_size=1, max_size=4)}),
    st.fixed_dictionaries({"const": VALUES}),
    st.fixed_dictionaries({"type": st.sampled_from(["string", "integer"]), "enum": st.lists(VALUES, min_size=1)}),
    st.booleans(),
    st.just({"$ref": "#/$defs/one"}),
    st.just({"$ref": "#"}),
)  # fmt: skip


def compound(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        optional(
            {"type": st.just("object"), "properties": st.dictionaries(NAMES, inner, max_size=3)},
            required=st.lists(NAMES, max_size=2, unique=True),
            additionalProperties=inner,
            patternProperties=st.dictionaries(PATTERNS, inner, max_size=2),
            minProperties=COUNTS,
            maxProperties=COUNTS,
        ),
        optional(
            {"type": st.just("array")},
            items=inner,
            prefixItems=st.lists(inner, min_size=1, max_size=2),
            minItems=COUNTS,
            maxItems=COUNTS,
        ),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"allOf": st.lists(inner, min_size=1, max_size=3)}),
        st.builds(merged, inner, inner),
    )


def merged(one: Any, other: Any) -> Any:
    """Keywords of both next to one another."""
    return one if isinstance(one, bool) or isinstance(other, bool) else {**one, **other}


def with_definition(root: Any, one: Any) -> Any:
    """A schema with another that it may refer to."""
    return merged(root, {"$defs": {"one": one}})


SCHEMAS: st.SearchStrategy[Any] = st.builds(
    with_definition,
    st.recursive(LEAVES, compound, max_leaves=6),
    st.recursive(LEAVES, compound, max_leaves=2),
)


@settings(max_examples=150)
@given(SCHEMAS, st.integers(0, 2**32))
def test_schema_texts_that_the_grammar_allows_are_valid(schema: Any, seed: int) -> None:
    try:
        held = hold(schema, "field")
        text = walk(lark.json_value(closed(held) if seed % 2 else held), seed)
    except (InvalidRequest, UnsupportedParameter) as error:
        text, place = None, error.param or ""
    else:
        place = "field"
    assert place.startswith("field")
    if text is not None:
        jsonschema.validate(json.loads(text), schema, jsonschema.Draft202012Validator)


def checker(name: str) -> Callable[[object], bool]:
    formats = jsonschema.Draft202012Validator.FORMAT_CHECKER
    return lambda value: formats.conforms(value, name)


@pytest.mark.parametrize("name", FORMATS)
def test_format_texts_that_the_grammar_allows_are_of_it(name: str) -> None:
    rules = lark.json_value(hold({"type": "string", "format": name}, "field"))
    texts = [text for seed in range(60) if (text := walk(rules, seed)) is not None]
    assert len(set(texts)) > 20
    assert [text for text in texts if not checker(name)(json.loads(text))] == []


ANYTHING = st.recursive(
    VALUES | st.floats() | st.integers(),
    lambda inner: st.dictionaries(
        st.sampled_from([
            "type", "properties", "items", "enum", "const", "$ref", "pattern", "minimum", "maxLength", "required",
            "anyOf", "not", "$schema", "minProperties", "uniqueItems", "prefixItems", "format", "multipleOf",
        ]) | NAMES, inner, max_size=3,
    ) | st.lists(inner, max_size=2),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=300)
@given(ANYTHING)
def test_schema_of_any_shape_is_read_or_refused_with_its_place(schema: Any) -> None:
    try:
        held = hold(schema, "field")
        place = "field"
    except (InvalidRequest, UnsupportedParameter) as error:
        held, place = {}, error.param or ""
    assert isinstance(held, dict | bool)
    assert place.startswith("field")
