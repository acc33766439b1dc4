"""Tool definitions, formats by template, and what the parser does with calls that are none."""

from typing import Any

import pytest

from infsup.protocol.errors import InvalidRequest, UnsupportedParameter
from infsup.workers.generation.reasoning import ReasoningStyle, detect_reasoning
from infsup.workers.generation.tools.definitions import Choice, check_choice, read_choice, read_tools
from infsup.workers.generation.tools.fallback import explain_tools
from infsup.workers.generation.tools.formats import (
    FUNCTION_TAGS,
    FUNCTIONARY,
    GENERIC,
    HERMES,
    LLAMA,
    MISTRAL,
    MISTRAL_NAMED,
    MISTRAL_SPACED,
    CallFormat,
    detect_format,
)
from infsup.workers.generation.tools.parser import CallParser, CallPiece, new_call_id

GET: dict[str, Any] = {"type": "function", "function": {"name": "get", "parameters": {"type": "object"}}}


def test_read_tools_keeps_the_definition_for_the_template() -> None:
    (tool,) = read_tools([GET | {"extra": 1}])
    assert tool.name == "get"
    assert tool.definition == GET | {"extra": 1}
    assert tool.parameters == {"type": "object"}
    (bare,) = read_tools([{"function": {"name": "x"}}])
    assert bare.definition["type"] == "function"
    assert bare.parameters is None


WRONG_TOOLS: list[tuple[Any, str]] = [
    (5, "tools"),
    ([5], "tools[0]"),
    ([{"type": "web_search"}], "tools[0].type"),
    ([{"type": "function"}], "tools[0].function"),
    ([GET, {"function": {"name": "a b"}}], "tools[1].function.name"),
    ([GET, GET], "tools[1].function.name"),
    ([{"function": {"name": "a", "parameters": []}}], "tools[0].function.parameters"),
    ([{"function": {"name": "a", "description": 5}}], "tools[0].function.description"),
    ([{"function": {"name": "a", "strict": 1}}], "tools[0].function.strict"),
]


@pytest.mark.parametrize(("value", "param"), WRONG_TOOLS)
def test_read_tools_names_what_is_wrong(value: object, param: str) -> None:
    with pytest.raises((InvalidRequest, UnsupportedParameter)) as caught:
        read_tools(value)
    assert caught.value.param == param


def test_read_choice_modes_and_functions() -> None:
    assert read_choice("required") == Choice("required")
    assert read_choice({"type": "function", "function": {"name": "get"}}) == Choice("required", "get")


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ("maybe", "tool_choice"),
        (5, "tool_choice"),
        ({"type": "allowed_tools"}, "tool_choice.type"),
        ({"type": "function"}, "tool_choice.function"),
    ],
)
def test_read_choice_names_what_is_wrong(value: object, param: str) -> None:
    with pytest.raises((InvalidRequest, UnsupportedParameter)) as caught:
        read_choice(value)
    assert caught.value.param == param


def test_check_choice_needs_the_tool() -> None:
    tools = read_tools([GET])
    check_choice(Choice("required", "get"), tools)
    check_choice(Choice("auto"), ())
    with pytest.raises(InvalidRequest, match="found 'put', allowed is one of the tools: get"):
        check_choice(Choice("required", "put"), tools)
    with pytest.raises(InvalidRequest, match="without tools"):
        check_choice(Choice("required"), ())


@pytest.mark.parametrize(
    ("template", "form"),
    [
        ('{% if tools %}<tools>…<tool_call>\n{"name": <function-name>}{% endif %}', HERMES),
        ("{% if tools %}[AVAILABLE_TOOLS]{% endif %}{{ '[TOOL_CALLS] [' }}", MISTRAL_SPACED),
        ("{% if tools %}[AVAILABLE_TOOLS]{% endif %}{{ '[TOOL_CALLS][' }}", MISTRAL),
        ("{% if tools %}{{ '[TOOL_CALLS]' + name + '[ARGS]' }}", MISTRAL_NAMED),
        ('{% if tools %}{{ "Environment: ipython" }}{{ \'"parameters": \' }}', LLAMA),
        ("{% if tools %}{{ '<function=' + name + '>' }}", FUNCTION_TAGS),
        ("{% for tool in tools %}{% endfor %}{{ '>>>all' }}", FUNCTIONARY),
        ("{% for tool in tools %}{{ tool }}{% endfor %}", GENERIC),
        ("{% for message in messages %}<tool_call>{% endfor %}", GENERIC),
    ],
)
def test_detect_format_reads_it_off_the_template(template: str, form: CallFormat) -> None:
    assert detect_format(template) is form


def said(parser: CallParser, *parts: str) -> tuple[str, list[CallPiece]]:
    pieces = [*map(parser.push, parts), parser.flush()]
    return "".join(piece.text for piece in pieces), [call for piece in pieces for call in piece.calls]


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>", "<tool_call>\n{", "<tool_call>soon",
        '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>',
        '<tool_call>{"arguments": {}}</tool_call>', '<tool_call>{"name": 5}',
        "a < b <tool", "<tool_call>[]</tool_call>",
    ],
)  # fmt: skip
def test_parser_what_is_no_call_is_content(text: str) -> None:
    assert said(CallParser(HERMES, ["get"]), text) == (text, [])


def test_parser_passes_arguments_on_while_they_arrive() -> None:
    parser = CallParser(HERMES, ["get"])
    assert parser.push('Well.\n<tool_call>\n{"name": "get"').calls[0].name == "get"
    assert parser.push(', "arguments": {"a"').calls == [CallPiece(0, '{"a"')]
    assert parser.push(": 1}").calls == [CallPiece(0, ": 1}")]
    assert parser.push("}\n</tool_call>").calls == []
    assert parser.calls == 1


def test_parser_odd_orders_are_understood() -> None:
    text, calls = said(
        CallParser(HERMES, ["get"]), '<tool_call>{"arguments": {"a": 1}, "id": 3, "name": "get"}</tool_call>'
    )
    assert (text, "".join(call.arguments for call in calls)) == ("", '{"a": 1}')
    text, calls = said(CallParser(HERMES, ["get"]), '<tool_call>{"name": "get", "arguments": "{\\"a\\": 1}"}')
    assert (text, "".join(call.arguments for call in calls)) == ("", '{"a": 1}')
    text, calls = said(CallParser(HERMES, ["get"]), '<tool_call>{"name": "get"}</tool_call>')
    assert (text, "".join(call.arguments for call in calls)) == ("", "{}")


def test_parser_most_ends_after_that_many_calls() -> None:
    parser = CallParser(HERMES, ["get"], most=1)
    text, calls = said(parser, '<tool_call>{"name": "get", "arguments": {}}</tool_call><tool_call>{"name": "get"}')
    assert parser.done
    assert text == ""
    assert {call.index for call in calls} == {0}


def test_parser_cut_off_call_keeps_what_came() -> None:
    text, calls = said(CallParser(HERMES, ["get"]), '<tool_call>{"name": "get", "arguments": {"a')
    assert text == ""
    assert "".join(call.arguments for call in calls) == '{"a'


def test_parser_mistral_ids_have_nine_characters() -> None:
    _, calls = said(CallParser(MISTRAL_NAMED, ["get"]), "[TOOL_CALLS]get[CALL_ID]abcdefghi[ARGS]{}")
    assert calls[0].id == "abcdefghi"
    _, calls = said(CallParser(MISTRAL, ["get"]), '[TOOL_CALLS] [{"name": "get", "arguments": {}}]')
    assert len(calls[0].id) == 9
    assert new_call_id().startswith("call_")


def test_explain_tools_puts_calls_and_results_into_words() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "get", "arguments": {"a": 1}}}
    told = explain_tools(
        [
            {"role": "system", "content": "Be nice."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "7", "tool_call_id": "c1"},
        ],
        [GET],
    )
    assert [message["role"] for message in told] == ["system", "user", "assistant", "user"]
    assert told[0]["content"].startswith("Be nice.\n\nYou can call functions.")
    assert '"name": "get"' in told[0]["content"]
    assert told[2]["content"] == '{"name": "get", "arguments": {"a": 1}}'
    assert told[3]["content"] == "Result of get: 7"


def test_detect_reasoning_and_prompts_that_open_it() -> None:
    style = detect_reasoning("{% if '</think>' in content %}")
    assert style == ReasoningStyle("<think>", "</think>")
    assert style is not None
    assert style.left_open("<|im_start|>assistant\n<think>\n")
    assert not style.left_open("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert not style.left_open("<|im_start|>assistant\n")
    assert detect_reasoning("{{ messages }}") is None
