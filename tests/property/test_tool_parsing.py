"""However an answer is cut into pieces: calls and content come out the same, and no half of a marker is content."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infsup.workers.generation.reasoning import ReasoningSplitter, ReasoningStyle
from infsup.workers.generation.tools.formats import (
    FUNCTION_TAGS,
    FUNCTIONARY,
    GENERIC,
    HERMES,
    LLAMA,
    MISTRAL,
    MISTRAL_NAMED,
    CallFormat,
)
from infsup.workers.generation.tools.parser import CallParser, Said

ALL = (HERMES, MISTRAL, MISTRAL_NAMED, FUNCTION_TAGS, FUNCTIONARY, LLAMA, GENERIC)
NAMES = ("get", "set_it")
VALUES = st.recursive(
    st.none() | st.integers(-5, 5) | st.text('a"\\{}[]<>/é ', max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2),
    max_leaves=4,
)
CALLS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.dictionaries(st.text('k"', max_size=2), VALUES, max_size=2)), max_size=3
)
CUTS = st.lists(st.integers(1, 9), max_size=40)


def written(form: CallFormat, calls: list[tuple[str, Any]]) -> str:
    """The calls as a model that knows the format writes them."""
    if not calls:
        return ""
    if form.name_end:
        return (form.between or "").join(
            f"{form.before}{name}{form.name_end}{json.dumps(values)}{form.after}" for name, values in calls
        )
    objects = [json.dumps({"name": name, form.key: values}) for name, values in calls]
    if form.listed:
        return f"{form.before}[{', '.join(objects)}]"
    if form.bare:
        return "; ".join(objects)
    return "\n".join(f"{form.before}{one}{form.after}" for one in objects)


def pieces(text: str, cuts: list[int]) -> list[str]:
    found: list[str] = []
    for cut in cuts:
        found.append(text[:cut])
        text = text[cut:]
    return [*found, text]


def parse(parser: CallParser, parts: list[str]) -> tuple[str, list[tuple[str, str]]]:
    """The content and the calls, each with its name and arguments."""
    text, calls = "", list[tuple[str, str]]()
    said: list[Said] = [parser.push(part) for part in parts]
    for one in [*said, parser.flush()]:
        text += one.text
        for piece in one.calls:
            if piece.name:
                assert piece.id
                assert piece.index == len(calls)
                calls.append((piece.name, ""))
            name, arguments = calls[piece.index]
            calls[piece.index] = (name, arguments + piece.arguments)
    return text, calls


@pytest.mark.parametrize("form", ALL, ids=lambda form: form.name)
@settings(max_examples=60)
@given(calls=CALLS, before=st.text("ab <{", max_size=6), cuts=CUTS)
def test_calls_come_out_as_they_were_written(
    form: CallFormat, calls: list[tuple[str, Any]], before: str, cuts: list[int]
) -> None:
    before = "" if form.bare and calls else before
    text, found = parse(CallParser(form, NAMES), pieces(before + written(form, calls), cuts))
    assert [(name, json.loads(arguments)) for name, arguments in found] == calls
    assert text == (before.rstrip() if calls else before)


@pytest.mark.parametrize("form", ALL, ids=lambda form: form.name)
@settings(max_examples=120)
@given(data=st.data(), cuts=CUTS)
def test_any_text_gives_the_same_however_it_is_cut(form: CallFormat, data: st.DataObject, cuts: list[int]) -> None:
    bits = st.sampled_from([
        form.before, form.after, form.name_end, '{"name": "get"', ', "', form.key, '": ', '{"a": 1}', "}", "]", "[",
        ",", " ",
        "\n", "x", "get", '"', form.before[:3], '"arguments": ', "{", '{"arguments": "{}", "name": "set_it"}', "5",
    ])  # fmt: skip
    text = "".join(data.draw(st.lists(bits, max_size=12)))
    whole = parse(CallParser(form, NAMES), [text])
    assert parse(CallParser(form, NAMES), pieces(text, cuts)) == whole
    assert all(name in NAMES for name, _ in whole[1])
    if not whole[1]:
        assert whole[0] == text


STYLE = ReasoningStyle("<think>", "</think>")


def split(text: list[str], *, opened: bool) -> tuple[str, str]:
    splitter = ReasoningSplitter(STYLE, opened=opened)
    said = [splitter.push(part) for part in text] + [splitter.flush()]
    return "".join(reasoning for reasoning, _ in said), "".join(answer for _, answer in said)


@settings(max_examples=200)
@given(st.text("ab <\n", max_size=8), st.text("cd <\n", max_size=8), CUTS, st.booleans(), st.booleans())
def test_reasoning_is_cut_off_wherever_the_pieces_end(
    thought: str, answer: str, cuts: list[int], opened: bool, spaced: bool
) -> None:
    begin = "" if opened else "\n<think>" if spaced else "<think>"
    assert split(pieces(f"{begin}{thought}</think>{answer}", cuts), opened=opened) == (thought.strip(), answer.lstrip())


@settings(max_examples=100)
@given(st.text("ab <think>/\n", max_size=20), CUTS)
def test_reasoning_absent_leaves_the_answer_as_it_is(text: str, cuts: list[int]) -> None:
    text = f"a{text}"
    assert split(pieces(text, cuts), opened=False) == ("", text)


def test_reasoning_that_does_not_end_is_all_there_is() -> None:
    assert split(["<think>so ", "and </thi"], opened=False) == ("so and </thi", "")
    assert split(["so", " it"], opened=True) == ("so it", "")
