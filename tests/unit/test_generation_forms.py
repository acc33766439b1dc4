"""Answers in a form, with tools and with reasoning, on a model that wants to say something of its own."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from infsup.protocol.errors import InfsupError, InvalidRequest, UnsupportedParameter
from infsup.protocol.job import Job
from infsup.workers.engine import JobContext
from infsup.workers.generation.answer import answer
from infsup.workers.generation.answer_format import AnswerFormat
from infsup.workers.generation.model import Sampling
from infsup.workers.generation.params import read_params
from infsup.workers.generation.sampler import Floats, Sampler
from infsup.workers.generation.template import CHATML, ChatTemplate
from infsup.workers.generation.vocabulary import Vocabulary

SPECIAL = {"<|im_end|>": 256, "<|im_start|>": 257, "[TOOL_CALLS]": 258}
TOOLS_TEMPLATE = "{{ tools | tojson if tools }}<tool_call>" + CHATML
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "roll",
        "parameters": {
            "type": "object",
            "properties": {"sides": {"type": "integer", "minimum": 2, "maximum": 6}},
            "required": ["sides"],
            "additionalProperties": False,
        },
    },
}
HI = [{"role": "user", "content": "Hi"}]


class Wish:
    """A `TextModel` that would say `says`, byte for byte, and takes the least byte it may where it may not."""

    def __init__(self, says: str | bytes, template: str = CHATML) -> None:
        said = says.encode() if isinstance(says, str) else says
        self.script = [258 if byte == 0xFF else byte for byte in said]
        self.template: ChatTemplate | None = ChatTemplate({"default": template}, {})
        self.no_template = ""
        self.context_size = 4000
        pieces = [bytes((i,)) for i in range(256)] + [b""] * 3
        self.vocabulary = Vocabulary(pieces, self.encode, SPECIAL, frozenset({256}))
        self.prompt: list[int] = []
        self.said = 0

    @staticmethod
    def encode(text: str, *, special: bool) -> list[int]:
        for name, token in SPECIAL.items():
            if special and name in text:
                before, _, after = text.partition(name)
                return [*Wish.encode(before, special=True), token, *Wish.encode(after, special=True)]
        return list(text.encode())

    @property
    def used(self) -> int:
        return 0

    def start(self, context: JobContext) -> None:
        pass

    def read(self, tokens: Sequence[int], context: JobContext) -> int:
        self.prompt, self.said = list(tokens), 0
        return 0

    def sampler(self, sampling: Sampling, prompt: Sequence[int]) -> Sampler:
        return Sampler(sampling, prompt, self.logits)

    def logits(self) -> Floats:
        found: Floats = -np.arange(259, dtype=np.float32)
        found[([*self.script, *[256] * 4000])[self.said]] = 1
        found[256] += 0.5
        return found

    def advance(self, token: int, context: JobContext) -> None:
        self.said += 1

    def close(self) -> None:
        pass


class Quiet:
    def progress(self, amount: int = 1) -> None:
        pass

    def phase(self, name: str) -> None:
        pass


def ask(
    model: Wish, /, grammars: Mapping[str, Any] | None = None, **params: Any
) -> tuple[list[Mapping[str, Any]], Any]:
    params = {"temperature": 0, "messages": HI, "max_tokens": 300} | params
    *pieces, result = answer(
        model, Job("j", "m", "chat-completion", params), {}, JobContext(Quiet()), grammars=grammars
    )
    return [piece.data for piece in pieces], result.data["choices"][0]


def test_format_schema_bends_the_answer() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 6}}, "required": ["n"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {**schema, "additionalProperties": False}}}
    pieces, choice = ask(Wish('{"n": 9}'), response_format=form)
    value = json.loads(choice["text"])
    assert value["n"] <= 6
    assert choice["finish_reason"] == "stop"
    assert "".join(piece["text"] for piece in pieces) == choice["text"]


@pytest.mark.parametrize(
    ("params", "wish", "text"),
    [
        ({"guided_choice": ["yes", "no"]}, "nope", "no"),
        ({"guided_regex": "[a-c]{3}"}, "abcd", "abc"),
        ({"guided_json": '{"const": 5}'}, "6", "5"),
        ({"guided_grammar": 'root ::= "x" [0-9]'}, "x7 and", "x7"),
        ({"structured_outputs": {"choice": ["a", "b"]}}, "b", "b"),
        ({"structured_outputs": {"json_object": True}}, '{"a": 1} more', '{"a": 1}'),
        ({"response_format": {"type": "text"}}, "free", "free"),
        ({"response_format": {"type": "json_object", "schema": {"const": True}}}, "false", "true"),
        ({"response_format": {"type": "grammar", "grammar": 'root ::= "q"'}}, "p", "q"),
        ({"grammar": "json"}, "{}", "{}"),
        ({"grammar": "mine"}, "no", "yes"),
        ({"grammar": "table"}, "x", "7"),
        ({"grammar": 'root ::= "z"'}, "x", "z"),
        ({"json_schema": {"enum": [1, 2]}}, "2", "2"),
    ],
)
def test_format_fields_hold_the_answer(params: dict[str, Any], wish: str, text: str) -> None:
    grammars = {"mine": 'root ::= "yes"', "table": {"const": 7}}
    assert ask(Wish(wish), grammars, **params)[1]["text"] == text


def test_format_leaves_out_end_tokens_until_it_is_satisfied() -> None:
    assert ask(Wish(""), guided_regex="[b-d]{2}")[1] == {"index": 0, "text": "bb", "finish_reason": "stop"}
    assert ask(Wish("dddd"), guided_regex="[b-d]{9}", max_tokens=4)[1]["finish_reason"] == "length"


def test_format_goes_on_from_a_prefilled_beginning() -> None:
    messages = [*HI, {"role": "assistant", "content": '{"a'}]
    schema = {"properties": {"ab": {"const": 1}}, "required": ["ab"], "additionalProperties": False}
    assert json.loads(ask(Wish('b": 1}'), messages=messages, guided_json=schema)[1]["text"]) == {"ab": 1}
    with pytest.raises(InvalidRequest, match="beginning that the last message gives"):
        ask(Wish(""), messages=messages, guided_choice=["x"])


BAD_FORMATS: list[tuple[dict[str, Any], str]] = [
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.schema"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"properties": {"a": {"not": {}}}}}}},
        "response_format.json_schema.schema#/properties/a/not",
    ),
    ({"guided_json": "{"}, "guided_json"),
    ({"guided_regex": "(?=a)"}, "guided_regex"),
    ({"guided_regex": 5}, "guided_regex"),
    ({"guided_choice": []}, "guided_choice"),
    ({"guided_choice": ["a", ""]}, "guided_choice[1]"),
    ({"grammar": "root ::= x"}, "grammar"),
    ({"structured_outputs": {"xml": 1}}, "structured_outputs.xml"),
    ({"structured_outputs": {"json": {}, "regex": "a"}}, "structured_outputs"),
    ({"guided_regex": "a", "response_format": {"type": "json_object"}}, "guided_regex"),
    ({"guided_regex": "a", "ignore_eos": True}, "ignore_eos"),
    ({"guided_regex": "a", "logit_bias": {"97": -100}}, "logit_bias"),
    ({"guided_json": {"allOf": [{"type": "null"}, {"type": "string"}]}}, "guided_json"),
]  # fmt: skip


@pytest.mark.parametrize(("params", "param"), BAD_FORMATS)
def test_format_that_is_wrong_is_refused_with_its_field(params: dict[str, Any], param: str) -> None:
    with pytest.raises((InvalidRequest, UnsupportedParameter)) as caught:
        ask(Wish("x"), **params)
    assert caught.value.param == param


def test_format_of_a_request_replaces_the_models_own() -> None:
    defaults = {"response_format": {"type": "json_object"}}
    params = {"messages": HI}
    assert read_params("chat-completion", params, defaults).format == AnswerFormat(
        "schema", {"type": "object"}, "response_format"
    )
    own = read_params("chat-completion", {**params, "guided_regex": "a"}, defaults).format
    assert own == AnswerFormat("regex", "a", "guided_regex")


CALL = 'Sure.\n<tool_call>\n{"name": "roll", "arguments": {"sides": 6}}\n</tool_call>'


def test_tools_call_is_read_and_its_text_is_not_content() -> None:
    pieces, choice = ask(Wish(CALL, TOOLS_TEMPLATE), tools=[TOOL])
    assert choice["finish_reason"] == "tool_calls"
    assert choice["text"] == "Sure."
    (call,) = choice["tool_calls"]
    assert (call["name"], call["arguments"]) == ("roll", '{"sides": 6}')
    streamed = [entry for piece in pieces for entry in piece.get("tool_calls", ())]
    assert streamed[0] == {"index": 0, "id": call["id"], "name": "roll", "arguments": ""}
    assert "".join(entry["arguments"] for entry in streamed) == '{"sides": 6}'


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "roll"}}])
@pytest.mark.parametrize(
    "template", [TOOLS_TEMPLATE, "{{ tools }}" + CHATML, CHATML, "{{ tools }}[TOOL_CALLS][" + CHATML]
)
def test_tools_required_are_called_whatever_the_model_wants(choice: Any, template: str) -> None:
    params: dict[str, Any] = {"tools": [TOOL], "tool_choice": choice, "parallel_tool_calls": False}
    answered = ask(Wish("I would rather not.", template), **params)[1]
    assert answered["finish_reason"] == "tool_calls"
    assert answered["text"] == ""
    assert 2 <= json.loads(answered["tool_calls"][0]["arguments"])["sides"] <= 6


def test_tools_marked_by_control_tokens_are_seen() -> None:
    wish = b'\xff[{"name": "roll", "arguments": {"sides": 3}}, {"name": "roll", "arguments": {"sides": 4}}]'
    template = "{{ tools }}[TOOL_CALLS][" + CHATML
    answered = ask(Wish(wish, template), tools=[TOOL])[1]
    assert [call["arguments"] for call in answered["tool_calls"]] == ['{"sides": 3}', '{"sides": 4}']
    alone = ask(Wish(wish, template), tools=[TOOL], parallel_tool_calls=False)[1]
    assert len(alone["tool_calls"]) == 1
    assert alone["finish_reason"] == "tool_calls"


def test_tools_none_are_not_shown_nor_read() -> None:
    model = Wish(CALL, TOOLS_TEMPLATE)
    answered = ask(model, tools=[TOOL], tool_choice="none")[1]
    assert answered == {"index": 0, "text": CALL, "finish_reason": "stop"}
    assert b"roll" not in bytes(token for token in model.prompt if token < 256)


def test_tools_without_a_place_in_the_template_are_explained() -> None:
    model = Wish('{"name": "roll", "arguments": {"sides": 2}}')
    answered = ask(model, tools=[TOOL])[1]
    assert answered["tool_calls"][0]["name"] == "roll"
    assert b'"name": "roll"' in bytes(token for token in model.prompt if token < 256)
    assert ask(Wish("Hello {you}."), tools=[TOOL])[1] == {"index": 0, "text": "Hello {you}.", "finish_reason": "stop"}


def test_tools_and_a_format_allow_a_call_or_the_format() -> None:
    both: dict[str, Any] = {"tools": [TOOL], "guided_choice": ["done"]}
    assert ask(Wish("no", TOOLS_TEMPLATE), **both)[1]["text"] in {"done", ""}
    assert ask(Wish("done", TOOLS_TEMPLATE), **both)[1]["text"] == "done"
    assert "tool_calls" in ask(Wish(CALL[6:], TOOLS_TEMPLATE), **both)[1]


STRICT = {"type": "function", "function": {**TOOL["function"], "strict": True}}


@pytest.mark.parametrize(
    ("template", "call"),
    [
        (TOOLS_TEMPLATE, b'So: <tool_call>{"name": "rill", "arguments": {"sides": 9}}</tool_call> and more'),
        (CHATML, b'{"name": "rill", "arguments": {"sides": 9}}'),
        ("{{ tools }}[TOOL_CALLS][" + CHATML, b'So: \xff[{"name": "rill", "arguments": {"sides": 9}}] and more'),
        ("{{ tools }}<function=" + CHATML, b"So: <function=rill>{9}</function> and more"),
    ],
)
def test_tools_that_are_strict_bend_only_calls(template: str, call: bytes) -> None:
    answered = ask(Wish(call, template), tools=[STRICT], parallel_tool_calls=False)[1]
    assert answered["text"] == ("" if call.startswith(b"{") else "So:")
    assert 2 <= json.loads(answered["tool_calls"][0]["arguments"])["sides"] <= 6
    plain = ask(Wish("Nothing <to> call [here].", template), tools=[STRICT])[1]
    assert plain == {"index": 0, "text": "Nothing <to> call [here].", "finish_reason": "stop"}


def test_tools_that_are_not_strict_may_stand_beside_strict_ones() -> None:
    loose: dict[str, Any] = {"type": "function", "function": {"name": "loose", "parameters": {"not": {}}}}
    wish = '<tool_call>\n{"name": "loose", "arguments": {"x": [1]}}\n</tool_call>'
    answered = ask(Wish(wish, TOOLS_TEMPLATE), tools=[STRICT, loose])[1]
    assert answered["tool_calls"][0]["arguments"] == '{"x": [1]}'


def test_tools_cut_off_in_a_call_end_by_length() -> None:
    answered = ask(Wish(CALL, TOOLS_TEMPLATE), tools=[TOOL], max_tokens=60)[1]
    assert answered["finish_reason"] == "length"
    assert answered["tool_calls"][0]["name"] == "roll"


BAD_TOOLS: list[tuple[dict[str, Any], str]] = [
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice.function.name"),
    ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    (
        {
            "tools": [{"type": "function", "function": {"name": "a", "parameters": {"not": {}}}}],
            "tool_choice": "required",
        },
        "tools[0].function.parameters#/not",
    ),
]


@pytest.mark.parametrize(("params", "param"), BAD_TOOLS)
def test_tools_that_are_wrong_are_refused_with_their_field(params: dict[str, Any], param: str) -> None:
    with pytest.raises(InfsupError) as caught:
        ask(Wish("x", TOOLS_TEMPLATE), **params)
    assert caught.value.status == 400
    assert caught.value.param == param


THINKING = "{{ '</think>' if false }}" + CHATML


def test_reasoning_is_apart_from_the_answer() -> None:
    pieces, choice = ask(Wish("<think>\nhm, 3?\n</think>\n\nFour.", THINKING))
    assert (choice["reasoning"], choice["text"]) == ("hm, 3?", "Four.")
    assert "".join(piece.get("reasoning", "") for piece in pieces) == "hm, 3?"
    assert ask(Wish("Four. </think>", THINKING))[1] == {"index": 0, "text": "Four. </think>", "finish_reason": "stop"}


def test_reasoning_that_the_template_opened_needs_no_beginning() -> None:
    template = THINKING + "{% if add_generation_prompt %}{{ '<think>\n' }}{% endif %}"
    choice = ask(Wish("so\n</think>\nFour.", template))[1]
    assert (choice["reasoning"], choice["text"]) == ("so", "Four.")


@pytest.mark.parametrize("opened", [True, False])
def test_reasoning_comes_before_the_format(opened: bool) -> None:
    template = THINKING + ("{% if add_generation_prompt %}{{ '<think>\n' }}{% endif %}" if opened else "")
    wish = ("" if opened else "<think>") + "what {is} it?</think>\nno"
    choice = ask(Wish(wish, template), guided_choice=["yes", "no"])[1]
    assert (choice["reasoning"], choice["text"], choice["finish_reason"]) == ("what {is} it?", "no", "stop")
