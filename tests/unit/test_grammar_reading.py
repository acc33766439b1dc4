"""Schemas, patterns and GBNF that are refused: each with its place and what is allowed."""

import re
from typing import Any

import pytest

from infsup.protocol.errors import InvalidRequest, UnsupportedParameter
from infsup.workers.generation.grammar.closing import closed
from infsup.workers.generation.grammar.gbnf import gbnf
from infsup.workers.generation.grammar.patterns import PatternError, explicit
from infsup.workers.generation.grammar.schema import MAX_DEPTH, MAX_SCHEMAS, hold

DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def nested(depth: int) -> Any:
    schema: Any = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


UNHELD: list[tuple[Any, str, str]] = [
    ({"not": {}}, "#/not", "cannot be held"),
    ({"properties": {"a/b~": {"uniqueItems": True}}}, "#/properties/a~1b~0/uniqueItems", "cannot be held"),
    ({"items": {"if": {}}}, "#/items/if", "conditions"),
    ({"anyOf": [{}, {"contains": {}}]}, "#/anyOf/1/contains", "cannot be held"),
    ({"$defs": {"x": {"propertyNames": {}}}}, "#/$defs/x/propertyNames", "patternProperties"),
    ({"type": "number", "multipleOf": 0.1}, "#/multipleOf", "whole numbers"),
    ({"type": "integer", "maximum": 2**60}, "#/maximum", "not exact"),
    ({"minProperties": 2, "type": "object"}, "#/minProperties", "cannot be held"),
    ({"format": "iri"}, "#/format", "allowed is one of date, time"),
    ({"pattern": r"(a)\1"}, "#/pattern", r"character 4 begins \1"),
    ({"pattern": "(?=a)"}, "#/pattern", "look-around"),
    ({"const": "\x00"}, "#/const", "control characters"),
    ({"enum": [2**70]}, "#/enum/0", "64 bits"),
    ({"$id": "x"}, "#/$id", "pointer"),
    (nested(MAX_DEPTH + 1), "#/items/items", f"more than {MAX_DEPTH}"),
    ({"allOf": [{"pattern": f"[a-z]{{{i}}}x"} for i in range(20)]}, "", "more than 8 patterns"),
    ({"anyOf": [{}] * MAX_SCHEMAS}, "#/anyOf/", f"more than {MAX_SCHEMAS}"),
]


@pytest.mark.parametrize(
    ("schema", "place", "says"),
    UNHELD,
)
def test_schema_that_cannot_be_held_is_refused_with_its_place(schema: Any, place: str, says: str) -> None:
    with pytest.raises(UnsupportedParameter, match=re.escape(says)) as caught:
        hold(schema, "field")
    assert (caught.value.param or "").startswith(f"field{place}")
    assert caught.value.message.startswith(f"{caught.value.param}: ")


WRONG: list[tuple[Any, str, str]] = [
    (5, "", "found 5, allowed is a schema"),
    ({"type": "strnig"}, "#/type", "found 'strnig', allowed is one or several of string, number"),
    ({"type": []}, "#/type", "allowed is one or several"),
    ({"enum": []}, "#/enum", "a list of 1 to"),
    ({"anyOf": {}}, "#/anyOf", "found an object of length 0, allowed is a list"),
    ({"properties": []}, "#/properties", "allowed is an object"),
    ({"properties": {"a": 1}}, "#/properties/a", "found 1, allowed is an object"),
    ({"required": "a"}, "#/required", "allowed is a list"),
    ({"minLength": -1}, "#/minLength", "found -1, allowed is a whole number from 0"),
    ({"minimum": "1"}, "#/minimum", "found '1', allowed is a number"),
    ({"type": "integer", "exclusiveMinimum": True}, "#/exclusiveMinimum", "found true"),
    ({"minimum": 3, "maximum": 1}, "", "bounds that leave a number"),
    ({"type": "integer", "minimum": 0.2, "maximum": 0.8}, "", "bounds that leave a number"),
    ({"$ref": "#/$defs/x"}, "#/$ref", "found '#/$defs/x', allowed is a pointer to a schema in here"),
    ({"$ref": "http://x/y"}, "#/$ref", "allowed is a pointer"),
    ({"$ref": "#/properties", "properties": {}}, "#/$ref", "allowed is a pointer"),
    ({"anyOf": [{"$ref": "#"}]}, "#/anyOf/0/$ref", "does not come back"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "#/$defs/a/$ref", "does not come back"),
    ({"items": [{}]}, "#/items", "prefixItems"),
    ({"$schema": "http://json-schema.org/draft-04/schema#"}, "#/$schema", "draft-07"),
]


@pytest.mark.parametrize(
    ("schema", "place", "says"),
    WRONG,
)
def test_schema_that_is_none_is_refused_with_its_place(schema: Any, place: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(says)) as caught:
        hold(schema, "field")
    assert caught.value.param == f"field{place}"


def test_schema_annotations_and_unknown_words_are_dropped() -> None:
    schema = {"type": "integer", "title": "t", "default": 1, "x-order": 3, "nullable": True, "uniqueItems": False}
    assert hold(schema, "field") == {"type": "integer"}


def test_schema_of_an_older_draft_becomes_the_current_one() -> None:
    old = {"$schema": DRAFT_7, "type": "array", "items": [{"type": "integer"}], "additionalItems": False}
    assert hold(old, "field") == {"type": "array", "prefixItems": [{"type": "integer"}], "items": False}


def test_schema_bounds_are_whole_for_integers_and_moved_inwards_for_numbers() -> None:
    assert hold({"type": "integer", "exclusiveMinimum": 0, "maximum": 5.5}, "f") == {
        "type": "integer", "minimum": 1, "maximum": 5,
    }  # fmt: skip
    assert hold({"type": "integer", "minimum": 0.5, "exclusiveMaximum": 5.5, "exclusiveMinimum": -3}, "f") == {
        "type": "integer", "minimum": 1, "maximum": 5,
    }  # fmt: skip
    held = hold({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 2.5}, "f")
    assert isinstance(held, dict)
    assert 0 < held["minimum"] < 1e-8
    assert 2.499 < held["maximum"] < 2.5


def test_closed_objects_have_the_properties_that_are_listed() -> None:
    item = {"properties": {"b": {"type": "integer"}}}
    held = hold({"properties": {"a": {"type": "array", "items": item}}, "required": ["a"]}, "f")
    made: Any = closed(held)
    assert made["additionalProperties"] is False
    assert made["properties"]["a"]["items"]["additionalProperties"] is False
    open_ones: list[Any] = [
        {"properties": {"a": {}}, "additionalProperties": True},
        {"properties": {"a": {}}, "required": ["b"]},
        {"type": "object"},
        {"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]},
        {"properties": {"a": {}}, "anyOf": [{"properties": {"b": {}}}]},
        True,
    ]
    for open_one in open_ones:
        held = hold(open_one, "f")
        assert closed(held) == held


@pytest.mark.parametrize(
    "pattern", ["a", "^[a-z]+$", "(?:x|y){2,3}?", r"\d\w\s\D\W\S.", "[^a-c\\d]", "(?P<n>a)", "a|^b|c$"]
)
def test_pattern_in_the_common_syntax_is_read(pattern: str) -> None:
    assert explicit(pattern, whole=False)


@pytest.mark.parametrize(
    ("pattern", "position"),
    [
        ("a(?i)b", 1), ("(?<=a)b", 0), (r"a\b", 1), (r"\p{L}", 0), ("a^", 1), ("(a$)", 2), ("a**", 2), ("a{", 1),
        ("*a", 0),
        ("a)", 1), ("(a", 2), ("[a", 0), ("[]", 0), ("[z-a]", 1), ("a{3,2}", 1), (r"[a-\d]", 2), ("]", 0), ("\\", 0),
        (r"\ud800", 0), ("a++", 2), ("(" * 60, 40),
    ],
)  # fmt: skip
def test_pattern_outside_of_it_is_refused_with_its_place(pattern: str, position: int) -> None:
    with pytest.raises(PatternError) as caught:
        explicit(pattern, whole=True)
    assert caught.value.position == position


@pytest.mark.parametrize(
    ("source", "line", "column", "says"),
    [
        ('root ::= "a', 1, 10, "a text that does not end"),
        ("root ::= x", 1, 10, "there is no rule x"),
        ('rot ::= "a"', 1, 12, "there is no rule root"),
        ('root = "a"', 1, 6, "expected ::="),
        ('# a comment\nroot ::= "a"\nb ::= [a', 3, 7, "[ without ]"),
        ('root ::= ("a"\n', 1, 10, "( without )"),
        ('root ::= "a" )', 1, 14, "expected the end of the line, found ')'"),
        ('root ::= "\\q"', 1, 11, "\\q is no escape"),
        ('root ::= "\\UFFFFFFFF"', 1, 11, "is no character"),
        ('root ::= "a"{5,2}', 1, 13, "the least first"),
        ('root ::= "a"{x}', 1, 13, "a count such as {3}"),
        ('root ::= "a"\n| "b"', 2, 1, "the name of a rule, found '|'"),
        ("", 1, 1, "there is no rule root"),
        ("root ::= [z-a]", 1, 14, "backwards"),
        ("root ::= %", 1, 10, "found '%'"),
        ("root ::= " + "(" * 100, 1, 60, "more than 50 groups"),
    ],
)
def test_gbnf_mistake_is_refused_with_line_and_column(source: str, line: int, column: int, says: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(says)) as caught:
        gbnf(source, "grammar")
    assert caught.value.details == {"line": line, "column": column}
    assert caught.value.message.startswith(f"grammar: line {line}, column {column}: ")
    assert caught.value.param == "grammar"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ('root ::= "a" root', "texts without end for the rule root"),
        ("root ::= r0\n" + "".join(f"r{i} ::= r{i + 1} r{i + 1}\n" for i in range(20)) + 'r20 ::= "x"', "1048576"),
        ("root ::= r0\n" + "".join(f'r{i} ::= "a" r{i + 1}\n' for i in range(600)) + 'r600 ::= "x"', "602 rules"),
    ],
)
def test_gbnf_too_large_to_be_walked_is_refused(source: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        gbnf(source, "grammar")
