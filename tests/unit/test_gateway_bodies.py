"""Request bodies: what is taken, what is refused, and which field is blamed."""

from typing import Any

import pytest

from infsup.gateway.body import http_mistake, parse_object
from infsup.gateway.openai.fields import HARMLESS, NEUTRAL
from infsup.gateway.openai.params import chat_params, completion_params, wants_usage
from infsup.gateway.openai.schemas import ChatBody, CompletionBody
from infsup.gateway.openai.validation import read_body
from infsup.protocol.errors import InvalidRequest, RequestError, UnsupportedParameter

USER = {"role": "user", "content": "hi"}


def read_chat(**fields: Any) -> dict[str, Any]:
    body = read_body(ChatBody, {"model": "m", "messages": [USER], **fields})
    wants_usage(body)
    return chat_params(body)


def read_text(**fields: Any) -> list[dict[str, Any]]:
    return completion_params(read_body(CompletionBody, {"model": "m", "prompt": "p", **fields}))


BAD_CHATS: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "model"),
    ({"model": 5}, "model"),
    ({"model": ""}, "model"),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "hi"}, "messages"),
    ({"messages": [5]}, "messages[0]"),
    ({"messages": [{}]}, "messages[0].role"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": 1, "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
    ({"messages": [USER, {"role": "user", "content": 5}]}, "messages[1].content"),
    ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": 5}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages[0].content[0].text"),
    ({"messages": [{"role": "user", "content": "x", "name": 5}]}, "messages[0].name"),
    ({"messages": [{"role": "assistant", "tool_calls": 5}]}, "messages[0].tool_calls"),
    ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls[0].function"),
    ({"max_tokens": "5"}, "max_tokens"),
    ({"max_tokens": 5.0}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 5, "max_completion_tokens": 6}, "max_completion_tokens"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": float("inf")}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": 1.1}, "top_p"),
    ({"min_p": -1}, "min_p"),
    ({"top_k": -1}, "top_k"),
    ({"repeat_penalty": 0}, "repeat_penalty"),
    ({"presence_penalty": 2.5}, "presence_penalty"),
    ({"seed": 2**70}, "seed"),
    ({"seed": 1.5}, "seed"),
    ({"stop": 5}, "stop"),
    ({"stop": ""}, "stop"),
    ({"stop": ["a", 5]}, "stop[1]"),
    ({"stop": ["a"] * 17}, "stop"),
    ({"logit_bias": []}, "logit_bias"),
    ({"logit_bias": {"5": "x"}}, "logit_bias.5"),
    ({"logit_bias": {"5": 101}}, "logit_bias.5"),
    ({"n": 0}, "n"),
    ({"n": 17}, "n"),
    ({"ignore_eos": 1}, "ignore_eos"),
    ({"stream": "true"}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": True, "stream_options": True}, "stream_options"),
    ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ({"stream": True, "stream_options": {"other": 1}}, "stream_options.other"),
    ({"chat_template_kwargs": 1}, "chat_template_kwargs"),
]


@pytest.mark.parametrize(("fields", "param"), BAD_CHATS)
def test_chat_body_wrong_field_is_named_with_what_was_found(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_chat(**fields)
    assert caught.value.param == param
    assert param in caught.value.message
    assert caught.value.status == 400


TOOL: dict[str, Any] = {"type": "function", "function": {"name": "get", "parameters": {"type": "object"}}}
UNSUPPORTED: list[tuple[dict[str, Any], str]] = [
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.type"),
    ({"functions": [{}]}, "functions"),
    ({"audio": {}}, "audio"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"prediction": {}}, "prediction"),
    ({"web_search_options": {}}, "web_search_options"),
    ({"suffix": "x"}, "suffix"),
    ({"prompt": "x"}, "prompt"),
    ({"tempature": 1}, "tempature"),
    ({"x" * 200: 1}, "x" * 80),
    ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": "x", "audio": {"id": "x"}}]}, "messages[0].audio"),
    ({"messages": [{"role": "user", "content": "x", "tool_calls": [{}]}]}, "messages[0].tool_calls"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type"),
]


@pytest.mark.parametrize(("fields", "param"), UNSUPPORTED)
def test_chat_body_field_that_cannot_be_honoured_is_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        read_chat(**fields)
    assert (caught.value.param, caught.value.code) == (param, "unsupported_parameter")


WRONG_TOOLS: list[tuple[dict[str, Any], str]] = [
    ({"tools": [{}]}, "tools[0].function"),
    ({"tools": [TOOL, {"function": {}}]}, "tools[1].function.name"),
    ({"tools": [5]}, "tools[0]"),
    ({"tools": [TOOL], "tool_choice": "maybe"}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {}}}, "tool_choice.function.name"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [TOOL], "parallel_tool_calls": 1}, "parallel_tool_calls"),
    ({"tools": [{**TOOL, "huge": 2**70}]}, "tools[0].huge"),
    ({"guided_choice": [1]}, "guided_choice[0]"),
    ({"response_format": "json"}, "response_format"),
    ({"guided_json": {"maximum": 2**70}}, "guided_json.maximum"),
]


@pytest.mark.parametrize(("fields", "param"), WRONG_TOOLS)
def test_chat_body_tools_and_forms_of_a_wrong_shape_are_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_chat(**fields)
    assert caught.value.param == param


def test_chat_body_tools_and_forms_pass_as_they_are() -> None:
    fields: dict[str, Any] = {
        "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "get"}},
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"const": None}}},
        "guided_choice": ["a"],
    }
    assert read_chat(**fields) == {"messages": [USER], **fields}


def test_chat_body_forms_and_choices_without_tools_that_ask_for_nothing_are_dropped() -> None:
    fields: dict[str, Any] = {
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "grammar": "",
        "json_schema": {},
    }
    assert read_chat(**fields, response_format={"type": "text"}) == {"messages": [USER]}


def test_chat_body_misspelt_field_gets_a_suggestion() -> None:
    with pytest.raises(UnsupportedParameter, match="did you mean repeat_penalty"):
        read_chat(repetition_penalty=1)


@pytest.mark.parametrize(("name", "values"), NEUTRAL.items())
def test_chat_body_field_that_asks_for_nothing_is_taken(name: str, values: tuple[Any, ...]) -> None:
    for value in (None, *values):
        assert read_chat(**{name: value}) == {"messages": [USER]}


def test_chat_body_true_is_not_one() -> None:
    with pytest.raises(InvalidRequest, match="best_of: found the boolean true"):
        read_chat(best_of=True)
    with pytest.raises(UnsupportedParameter):
        read_chat(id_slot=True)


def test_chat_body_harmless_fields_and_nulls_are_dropped() -> None:
    harmless = dict.fromkeys(HARMLESS, "anything")
    nulls = dict.fromkeys(("temperature", "stop", "n", "stream", "max_tokens", "priority", "unknown"))
    assert read_chat(**harmless, **nulls) == {"messages": [USER]}


def test_chat_body_parameters_pass_as_they_are() -> None:
    fields: dict[str, Any] = {
        "temperature": 0,
        "top_k": 5,
        "top_p": 0.5,
        "min_p": 0,
        "repeat_penalty": 1.1,
        "repeat_last_n": -1,
        "frequency_penalty": -2,
        "presence_penalty": 2,
        "seed": -1,
        "stop": ["a", "b"],
        "logit_bias": {"5": -100},
        "n": 3,
        "ignore_eos": False,
        "max_tokens": 7,
        "chat_template_kwargs": {"a": 1},
    }
    assert read_chat(**fields) == {"messages": [USER], **fields}


def test_chat_body_same_limit_twice_is_taken() -> None:
    assert read_chat(max_tokens=5, max_completion_tokens=5)["max_tokens"] == 5


def test_chat_body_several_mistakes_are_told_together() -> None:
    with pytest.raises(InvalidRequest, match=r"temperature.*; top_k.*"):
        read_chat(top_k="x", temperature="x")


def test_messages_are_made_canonical() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages: list[dict[str, Any]] = [
        {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": "", "name": "Ann"},
        {"role": "assistant", "content": None, "refusal": None, "annotations": [], "tool_calls": [call]},
        {"role": "tool", "content": "5", "tool_call_id": "c1"},
        {"role": "assistant", "content": "so", "tool_calls": None, "function_call": None, "audio": None},
    ]
    assert read_chat(messages=messages)["messages"] == [
        {"role": "system", "content": "a\nb"},
        {"role": "user", "content": "", "name": "Ann"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "5", "tool_call_id": "c1"},
        {"role": "assistant", "content": "so"},
    ]


@pytest.mark.parametrize(
    ("prompt", "read"),
    [
        ("a", ["a"]),
        ("", [""]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [[1, 2]]),
        ([[1], [2, 3]], [[1], [2, 3]]),
    ],
)
def test_prompt_of_every_shape_is_read(prompt: Any, read: list[Any]) -> None:
    assert [params["prompt"] for params in read_text(prompt=prompt)] == read


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        (None, "prompt"),
        (5, "prompt"),
        ({}, "prompt"),
        ([], "prompt"),
        ([None], "prompt[0]"),
        ([True], "prompt[0]"),
        (["a", 1], "prompt[1]"),
        ([1, "a"], "prompt[1]"),
        ([1, -1], "prompt[1]"),
        ([1, 2**31], "prompt[1]"),
        ([[1], "a"], "prompt[1]"),
        ([[1], []], "prompt[1]"),
        ([[1, None]], "prompt[0][1]"),
        (["a"] * 65, "prompt"),
    ],
)
def test_prompt_of_no_shape_is_refused(prompt: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_text(prompt=prompt)
    assert caught.value.param == param


def test_completion_body_with_echo_may_ask_for_no_tokens() -> None:
    assert read_text(echo=True, max_tokens=0) == [{"prompt": "p", "echo": True, "max_tokens": 0}]


def test_logprobs_reach_the_worker_as_a_number_of_alternatives() -> None:
    assert read_text(logprobs=2) == [{"prompt": "p", "logprobs": 2}]
    assert read_text(logprobs=0) == [{"prompt": "p", "logprobs": 0}]
    assert read_chat(logprobs=True) == {"messages": [USER], "logprobs": 0}
    assert read_chat(logprobs=True, top_logprobs=3) == {"messages": [USER], "logprobs": 3}
    assert read_chat(logprobs=False, top_logprobs=0) == {"messages": [USER]}


def test_top_logprobs_alone_or_too_many_are_refused() -> None:
    for fields in ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 21}):
        with pytest.raises(InvalidRequest, match="top_logprobs"):
            read_chat(**fields)
    with pytest.raises(InvalidRequest, match="logprobs"):
        read_text(logprobs=True)


def test_sampling_parameters_go_to_the_worker_as_they_are() -> None:
    fields: dict[str, Any] = {
        "typical_p": 0.9, "top_n_sigma": 1.5, "xtc_probability": 0.5, "xtc_threshold": 0.1, "dry_multiplier": 0.8,
        "dry_base": 1.75, "dry_allowed_length": 2, "dry_penalty_last_n": -1, "dry_sequence_breakers": ["\n"],
        "mirostat": 2, "mirostat_tau": 5.0, "mirostat_eta": 0.1, "dynatemp_range": 0.5, "dynatemp_exponent": 1.0,
        "min_tokens": 3, "best_of": 2,
    }  # fmt: skip
    assert read_chat(**fields) == {"messages": [USER], **fields}


def test_wants_usage_only_when_asked_for() -> None:
    def body(options: dict[str, Any] | None) -> ChatBody:
        return read_body(ChatBody, {"model": "m", "messages": [USER], "stream": True, "stream_options": options})

    assert wants_usage(body({"include_usage": True}))
    assert not wants_usage(body({"include_usage": None}))
    assert not wants_usage(body({"include_obfuscation": False}))
    assert not wants_usage(body(None))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"nul",
        b"[]",
        b'"x"',
        b'{"a": NaN}',
        b'{"a": "\xff"}',
        b'{"a": 1',
        b"{} {}",
        b"[" * 5000,
        b'{"a":"\\ud800"}',
    ],
)
def test_parse_object_refuses_what_is_no_json_object(data: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        parse_object(data)
    assert caught.value.code == "invalid_request"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"chat_template_kwargs": {"a": [0, {"b": 2**64}]}}, "chat_template_kwargs.a[1].b"),
        ({"chat_template_kwargs": {"a": -(2**63) - 1}}, "chat_template_kwargs.a"),
        ({"logit_bias": {"5": 10**30}}, "logit_bias.5"),
    ],
)
def test_chat_body_whole_number_that_no_job_can_carry_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest, match="found the number") as caught:
        chat_params(read_body(ChatBody, {"model": "m", "messages": [USER], **fields}))
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [("id_slot", 2, "allowed is -1"), ("modalities", ["audio"], 'allowed is ["text"]')],
)
def test_refusal_of_a_foreign_field_is_spelt_as_json(name: str, value: object, allowed: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        read_body(ChatBody, {"model": "m", "messages": [USER], name: value})
    assert caught.value.message.endswith(allowed)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("400, message:\n  Can not decode content-encoding: gzip", "Can not decode content-encoding: gzip"),
        ("Invalid character in Content-Length:\n\n  b'abc'\n    ^", "Invalid character in Content-Length"),
        ("Got more than 8190 bytes when reading: b'aaa...'.", "Got more than 8190 bytes when reading"),
        ("", ""),
    ],
)
def test_http_mistake_is_one_line_without_the_bytes(message: str, line: str) -> None:
    assert http_mistake(message) == line
