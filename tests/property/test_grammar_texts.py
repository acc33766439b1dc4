"""Exactly which texts a grammar allows, over the tiny model's tokens."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infsup.protocol.errors import InvalidRequest
from infsup.workers.generation.grammar import lark
from infsup.workers.generation.grammar.gbnf import gbnf
from infsup.workers.generation.grammar.patterns import explicit
from infsup.workers.generation.grammar.schema import hold

from .grammar_walks import allows, guide, vocabulary, walk

JSON_GBNF = r"""
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::=
  "\"" (
    [^"\\\x7F\x00-\x1F] |
    "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) # escapes
  )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
"""
"""As llama.cpp has it."""


SCHEMAS: list[tuple[Any, list[str], list[str]]] = [
    ({"type": "integer", "minimum": 1, "maximum": 6}, ["1", "6"], ["0", "7", "-1", "1.0", "01", "10", "null"]),
    ({"type": "number", "minimum": 0.5, "exclusiveMaximum": 1}, ["0.5", "0.75"], ["0.49", "1", "1.0", ".5"]),
    ({"type": "string", "minLength": 2, "maxLength": 3}, ['"ab"', '"é\\n"', '"😀😀😀"'], ['"a"', '"abcd"', '"a']),
    ({"type": ["integer", "null"], "minimum": 2}, ["2", "null"], ["1", '"a"']),
    (
        {"properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False},
        ['{"a":1}', '{"a": 1}', '{\n  "a": 1\n}'],
        ["{}", '{"a":"x"}', '{"a":1,"b":2}', '{"\\u0061":1}', '{"a":1,"a":2}', '{"a":1}x'],
    ),
    ({"properties": {"a": {"type": "integer"}}}, ['{"b":"x"}', "{}"], ['{"\\u0061":"x"}', '{"a":"x"}', "1"]),
    ({"format": "date"}, ['"2024-02-29"', '"1900-12-31"'], ['"2023-02-29"', '"1900-02-29"', '"0000-01-01"']),
    ({"format": "ipv6"}, ['"::1"', '"1::8"', '"a:b:c:d:e:f:1:2"'], ['"1::2::3"', '":1"', '"1:2"']),
    ({"enum": [1, "a", None, {"b": []}]}, ["1", '"a"', "null", '{"b": []}'], ["2", '"1"', "{}"]),
    (
        {"properties": {"c": {"$ref": "#"}}, "additionalProperties": False},
        ["{}", '{"c":{"c":{}}}'],
        ['{"c":1}', '{"d":{}}'],
    ),
    ({"type": "string", "pattern": "^[a&&b]$"}, ['"a"', '"&"', '"b"'], ['"c"', '"ab"']),
    ({"type": "string", "pattern": "b\\.c", "maxLength": 4}, ['"b.c"', '"xb.c"'], ['"b-c"', '"xxb.c"']),
]


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    SCHEMAS,
)  # fmt: skip
def test_schema_allows_what_is_valid_and_nothing_else(schema: Any, valid: list[str], invalid: list[str]) -> None:
    rules = lark.json_value(hold(schema, "field"))
    assert [text for text in valid if not allows(rules, text)] == []
    assert [text for text in invalid if allows(rules, text)] == []


@pytest.mark.parametrize("schema", [False, {"allOf": [{"type": "integer"}, {"type": "string"}]}])
def test_schema_that_no_value_satisfies_is_refused_at_once(schema: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        guide().grammar(lark.json_value(hold(schema, "field")), "field")
    assert caught.value.param == "field"
    assert "state" not in caught.value.message
    assert "lark" not in caught.value.message


def test_choice_allows_one_of_the_texts() -> None:
    rules = lark.one_of(["yes", "yes!", 'é"/\n'])
    assert all(allows(rules, text) for text in ("yes", "yes!", 'é"/\n'))
    assert not any(allows(rules, text) for text in ("", "ye", "yes!!", "no"))


TEXTS = st.text("ab1 é-\n_&", max_size=5)
PARTS = st.sampled_from(
    ["a", "b+", "[ab]", r"\d", r"\w", r"\s", ".", "[^a]", "(a|b1)", r"\W", r"[^\w]", "é?", "a{2}", r"\S*", "-"]
)


@settings(max_examples=150)
@given(st.lists(PARTS, max_size=3), TEXTS, st.booleans(), st.booleans())
def test_pattern_allows_only_what_python_matches_too(parts: list[str], text: str, begins: bool, ends: bool) -> None:
    pattern = f"{'^' if begins else ''}{''.join(parts)}{'$' if ends else ''}"
    allowed = allows(lark.pattern(explicit(pattern, whole=False)), text)
    found = re.search(pattern, text) is not None
    assert found or not allowed
    if text.isascii() and "\n" not in text and not re.search(r"\\W|\\w", pattern):
        assert found == allowed


@settings(max_examples=60)
@given(st.lists(PARTS, min_size=1, max_size=4), st.integers(0, 1000))
def test_pattern_walks_match_in_python(parts: list[str], seed: int) -> None:
    text = walk(lark.pattern(explicit("".join(parts), whole=True)), seed)
    assert text is None or re.fullmatch("".join(parts), text)


@pytest.mark.parametrize(
    ("source", "inside", "outside"),
    [
        (JSON_GBNF, ['{"a": [1, 2.5, {"b": "x\\n"}], "c": null}', "{}"], ['{"a":01}', "[]", '{"a"}']),
        ('root ::= [a-z]+ "z" | "yes" ("," "no"){2}', ["abz", "yes,no,no"], ["ab", "yes,no"]),
        ('root ::= "(" root ")" | "x"+ [^a-f] | [\\]é-ü-]', ["((xxq))", "]", "-", "ö"], ["(xa)", "x", "(x"]),
        ('root ::= expr\nexpr ::= expr "+" expr | [0-9]+', ["1+2+33", "7"], ["1+", "+"]),
        ('root ::= "\\u00e9\\x41\\U0001F600" .?', ["éA😀", "éA😀\n"], ["éA", "éA😀ab"]),
        ("root ::= a-b{0,2} c_d*\na-b ::= \"1\"\nc_d ::= \"2\"", ["", "1", "1122"], ["111", "21"]),
    ],
)  # fmt: skip
def test_gbnf_allows_what_it_says(source: str, inside: list[str], outside: list[str]) -> None:
    rules = gbnf(source, "grammar")
    assert [text for text in inside if not allows(rules, text)] == []
    assert [text for text in outside if allows(rules, text)] == []


def test_literal_texts_of_control_tokens_mean_the_tokens() -> None:
    constraint = guide().grammar(lark.literal("<|im_start|>a", vocabulary().special), "field").start()
    constraint.accept(vocabulary().special["<|im_start|>"])
    assert not allows(lark.text("<|im_start|>"), "<|im_star")
    assert allows(lark.text("<|im_start|>"), "<|im_start|>")


def test_until_goes_on_to_the_first_end() -> None:
    rules = lark.sequence(
        lark.optional(lark.sequence(lark.text("<think>"), lark.until("thought", "</think>"))), lark.text("yes")
    )
    assert allows(rules, "yes")
    assert allows(rules, "<think>no\n<think></thinkyes</think>yes")
    assert not allows(rules, "<think>no")
    assert not allows(rules, "<think></think></think>yes")


def test_constraint_answers_are_independent_of_one_another() -> None:
    grammar = guide().grammar(lark.one_of(["ab", "cd"]), "field")
    one, other = grammar.start(), grammar.start()
    tokens = {piece: i for i, piece in enumerate(vocabulary().pieces)}
    one.accept(tokens[b"a"])
    other.accept(tokens[b"c"])
    one.accept(tokens[b"b"])
    assert one.complete
    assert not other.complete
