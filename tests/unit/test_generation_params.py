"""Parameters of text jobs: defaults, types, ranges, and errors that name the field."""

import math
from typing import Any

import pytest

from infsup.protocol.errors import InvalidRequest, UnsupportedParameter
from infsup.workers.generation.params import TextParams, check_defaults, read_params

TEXT, CHAT = "text-completion", "chat-completion"
HELLO = [{"role": "user", "content": "Hello"}]


def text(**request: Any) -> TextParams:
    return read_params(TEXT, {"prompt": "Hi"} | request, {})


def test_read_params_nothing_but_prompt_gives_defaults() -> None:
    assert text() == TextParams(prompt="Hi")


def test_read_params_request_wins_over_defaults_and_none_counts_as_absent() -> None:
    defaults: dict[str, Any] = {"temperature": 0.1, "top_k": 7, "tools": []}
    params = read_params(TEXT, {"prompt": "Hi", "temperature": 2, "top_k": None}, defaults)
    assert (params.temperature, params.top_k) == (2.0, 7)


def test_read_params_unknown_name_is_unsupported_and_named() -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        text(best_off=2)
    assert caught.value.param == "best_off"


@pytest.mark.parametrize("name", ["messages", "tools"])
def test_read_params_of_the_other_task_is_unsupported(name: str) -> None:
    with pytest.raises(UnsupportedParameter, match=name):
        text(**{name: HELLO})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1), ("temperature", 5.1), ("temperature", True), ("temperature", "1"),
        ("temperature", math.nan), ("temperature", math.inf), ("top_k", -1), ("top_k", 1.5), ("top_p", 1.1),
        ("min_p", -1), ("repeat_penalty", 0), ("repeat_penalty", 10.5), ("repeat_last_n", -2),
        ("frequency_penalty", 2.1), ("presence_penalty", -2.1), ("seed", 1.0), ("seed", 2**64), ("n", 0), ("n", 17),
        ("max_tokens", -1), ("max_tokens", 0), ("max_tokens", 10.0), ("ignore_eos", 1), ("echo", "yes"),
        ("stop", 5), ("stop", ""), ("stop", ["a", ""]), ("stop", ["a"] * 17), ("logit_bias", [1]),
        ("logit_bias", {"x" * 1001: 1}), ("n", 1.5),
        ("logit_bias", {"5": 101}), ("logit_bias", {"5": True}), ("logit_bias", {"": 1}), ("prompt", ["a", "b"]),
        ("prompt", [1, True]), ("prompt", {"a": 1}), ("prompt", "\ud800"),
    ],
)  # fmt: skip
def test_read_params_wrong_value_is_refused_with_its_name(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        text(**{name: value})
    assert str(caught.value.param).startswith(name)
    assert caught.value.message.startswith(name)


def test_read_params_refusal_says_what_was_found_and_what_is_allowed() -> None:
    with pytest.raises(InvalidRequest, match=r"temperature: found 9, allowed is a number from 0 to 5"):
        text(temperature=9)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("stop", "END", ("END",)), ("stop", ["a", "b"], ("a", "b")), ("temperature", 0, 0.0), ("seed", -1, -1),
        ("logit_bias", {"12": -100, 13: 1, "word": 2.5}, {12: -100.0, 13: 1.0, "word": 2.5}),
        ("prompt", [1, 2], (1, 2)), ("prompt", "", ""), ("repeat_last_n", -1, -1), ("n", 16, 16),
    ],
)  # fmt: skip
def test_read_params_right_value_is_read(name: str, value: object, expected: object) -> None:
    assert getattr(text(**{name: value}), name) == expected


def test_read_params_zero_tokens_needs_echo() -> None:
    assert text(max_tokens=0, echo=True).max_tokens == 0
    with pytest.raises(InvalidRequest, match="echo"):
        text(max_tokens=0)
    with pytest.raises(InvalidRequest):
        read_params(CHAT, {"messages": HELLO, "max_tokens": 0}, {})


@pytest.mark.parametrize(("task", "name"), [(TEXT, "prompt"), (CHAT, "messages")])
def test_read_params_without_input_names_what_is_missing(task: str, name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_params(task, {}, {})
    assert caught.value.param == name


def test_read_params_chat_template_kwargs_are_kept() -> None:
    params = read_params(CHAT, {"messages": HELLO, "chat_template_kwargs": {"enable_thinking": False}}, {})
    assert params.template_options == {"enable_thinking": False}


def test_check_defaults_wrong_or_unknown_names_the_key() -> None:
    check_defaults({"temperature": 0.5, "echo": True, "tools": [], "top_k": None})
    with pytest.raises(InvalidRequest, match=r"defaults\.top_p"):
        check_defaults({"top_p": 2})
    with pytest.raises(UnsupportedParameter, match=r"defaults\.topp"):
        check_defaults({"topp": 0.5})


def test_read_params_limits_are_whole_numbers_in_full() -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_params("text-completion", {"prompt": "a", "top_k": False}, {})
    assert caught.value.message == "top_k: found false, allowed is a whole number from 0 to 9223372036854775807"
