"""Chat messages: what is accepted, how it reaches templates, and paths in errors."""

import pytest

from infsup.protocol.errors import InvalidRequest, UnsupportedParameter
from infsup.workers.generation.messages import read_messages

USER = {"role": "user", "content": "Hi"}


def test_read_messages_plain_ones_are_kept() -> None:
    assert read_messages([USER, {"role": "tool", "content": "4", "tool_call_id": "c1", "name": "dice"}]) == (
        USER,
        {"role": "tool", "content": "4", "tool_call_id": "c1", "name": "dice"},
    )


def test_read_messages_text_parts_are_joined_by_lines() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert read_messages([{"role": "user", "content": parts}])[0]["content"] == "a\nb"


def test_read_messages_tool_call_arguments_become_an_object() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "roll", "arguments": '{"min": 1}'}}
    (message,) = read_messages([{"role": "assistant", "content": None, "tool_calls": [call], "refusal": None}])
    assert message["content"] == ""
    assert message["tool_calls"][0]["function"] == {"name": "roll", "arguments": {"min": 1}}


@pytest.mark.parametrize("arguments", ["{broken", "[1]", ""])
def test_read_messages_tool_call_arguments_that_are_no_object_stay_text(arguments: str) -> None:
    call = {"function": {"name": "roll", "arguments": arguments}}
    (message,) = read_messages([{"role": "assistant", "tool_calls": [call]}])
    assert message["tool_calls"][0]["function"]["arguments"] == arguments


MALFORMED: list[tuple[object, str]] = [
    ("Hi", "messages"), ([], "messages"), (["Hi"], "messages[0]"), ([{"content": "Hi"}], "messages[0].role"),
    ([{"role": "a\nb", "content": ""}], "messages[0].role"), ([{"role": 1, "content": ""}], "messages[0].role"),
    ([USER, {"role": "user"}], "messages[1].content"),
    ([USER, {"role": "user", "content": 5}], "messages[1].content"),
    ([{"role": "user", "content": ["x"]}], "messages[0].content[0]"),
    ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text"),
    ([{"role": "user", "content": "\udc00"}], "messages[0].content"),
    ([{"role": "assistant", "tool_calls": [{"function": {}}]}], "messages[0].tool_calls[0].function.name"),
]  # fmt: skip


@pytest.mark.parametrize(("messages", "path"), MALFORMED)
def test_read_messages_malformed_names_the_path(messages: object, path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_messages(messages)
    assert caught.value.param == path


def test_read_messages_unknown_parts_and_fields_are_unsupported() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    with pytest.raises(UnsupportedParameter) as caught:
        read_messages([USER, {"role": "user", "content": [image]}])
    assert caught.value.param == "messages[1].content[0]"
    with pytest.raises(UnsupportedParameter) as caught:
        read_messages([USER | {"audio": {"id": "x"}}])
    assert caught.value.param == "messages[0].audio"
