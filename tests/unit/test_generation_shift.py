"""Prompts that are too long for the context, on the byte tokenizer of the answer tests."""

from typing import Any

import pytest

from infsup.protocol.errors import ContextLengthExceeded, InfsupError, InvalidRequest
from infsup.workers.generation.params import read_params
from infsup.workers.generation.preload import Preload, read_preload
from infsup.workers.generation.prompts import Prompt
from infsup.workers.generation.shift import ContextShift

from .test_generation_answer import SPECIAL, Script

SYSTEM = {"role": "system", "content": "Obey."}


def chat(*contents: str, system: bool = True) -> list[dict[str, str]]:
    """A conversation of these words, said in turns by user and assistant."""
    turns = [{"role": "user" if i % 2 == 0 else "assistant", "content": text} for i, text in enumerate(contents)]
    return [SYSTEM, *turns] if system else turns


def build(how: str, size: int, preload: Preload | None = None, **params: Any) -> Prompt:
    task = "chat-completion" if "messages" in params else "text-completion"
    return ContextShift(how, preload or Preload()).build(Script(context_size=size), read_params(task, params, {}))


def shown(prompt: Prompt) -> str:
    names = {token: name for name, token in SPECIAL.items()}
    return "".join(names[token] if token in names else chr(token) for token in prompt.tokens)


def test_shift_error_refuses_what_does_not_fit() -> None:
    with pytest.raises(ContextLengthExceeded):
        build("error", 50, prompt="x" * 60)


@pytest.mark.parametrize("how", ["error", "drop-oldest", "truncate-middle", "tests_shift:never"])
def test_shift_prompt_that_fits_stays(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "never", None)
    assert shown(build(how, 50, prompt="abc")) == "abc"


def test_shift_drop_oldest_drops_turns_and_keeps_instructions() -> None:
    messages = chat("one", "1", "two", "2", "three", "3", "four")
    whole = len(build("error", 1000, messages=messages).tokens)
    text = shown(build("drop-oldest", whole, messages=messages, max_tokens=8))
    assert "Obey." in text
    assert "one" not in text
    assert text.index("two") < text.index("four")
    last = len(build("error", 1000, messages=[SYSTEM, messages[-1]]).tokens)
    text = shown(build("drop-oldest", last + 8, messages=messages, max_tokens=8))
    assert "Obey." in text
    assert "three" not in text
    assert "four" in text


def test_shift_drop_oldest_keeps_what_is_preloaded() -> None:
    messages = chat("one", "1", "two", "2", "three")
    preload = Preload((), tuple(messages[:3]))
    whole = len(build("error", 1000, messages=messages).tokens)
    text = shown(build("drop-oldest", whole, preload, messages=messages, max_tokens=8))
    assert "one" in text
    assert "two" not in text
    assert "three" in text


def test_shift_drop_oldest_keeps_words_that_are_to_be_continued() -> None:
    messages = chat("one", "1", "two", "so far")
    whole = len(build("error", 1000, messages=messages).tokens)
    prompt = build("drop-oldest", whole, messages=messages, max_tokens=8)
    assert prompt.opening == "so far"
    assert shown(prompt).endswith("assistant\nso far")
    assert "one" not in shown(prompt)


def test_shift_drop_oldest_of_one_message_that_is_too_long_is_refused() -> None:
    with pytest.raises(ContextLengthExceeded):
        build("drop-oldest", 60, messages=chat("x" * 80))


def test_shift_answer_has_its_room() -> None:
    assert len(build("drop-oldest", 100, prompt="x" * 200, max_tokens=10).tokens) == 90
    assert len(build("drop-oldest", 100, prompt="x" * 200, max_tokens=80).tokens) == 75
    assert len(build("truncate-middle", 100, prompt="x" * 200).tokens) == 75


def test_shift_prompt_loses_its_beginning_or_its_middle() -> None:
    prompt = "".join(map(chr, range(32, 127)))
    assert shown(build("drop-oldest", 24, prompt=prompt, max_tokens=4)) == prompt[-20:]
    assert shown(build("truncate-middle", 24, prompt=prompt, max_tokens=4)) == prompt[:10] + prompt[-10:]
    preload = Preload(tuple(map(ord, prompt[:6])))
    assert shown(build("drop-oldest", 24, preload, prompt=prompt, max_tokens=4)) == prompt[:6] + prompt[-14:]


def test_shift_prompt_that_would_take_for_ever_is_refused() -> None:
    with pytest.raises(ContextLengthExceeded):
        build("truncate-middle", 24, prompt="x" * 24 * 12 * 65)


def unchanged(value: Any, _fits: Any) -> Any:
    return value


def install(monkeypatch: pytest.MonkeyPatch, name: str, function: Any) -> None:
    import sys  # noqa: PLC0415
    import types  # noqa: PLC0415

    module = types.ModuleType("tests_shift")
    setattr(module, name, function or unchanged)
    monkeypatch.setitem(sys.modules, "tests_shift", module)


def test_shift_own_function_gets_a_test_of_fitting(monkeypatch: pytest.MonkeyPatch) -> None:
    def halve(value: Any, fits: Any) -> Any:
        while not fits(value):
            value = value[: len(value) // 2] if isinstance(value, str) else value[-1:]
        return value

    install(monkeypatch, "halve", halve)
    assert shown(build("tests_shift:halve", 24, prompt="x" * 64, max_tokens=4)) == "x" * 16
    assert "two" in shown(build("tests_shift:halve", 60, messages=chat("one" * 30, "1", "two"), max_tokens=4))


def test_shift_own_function_that_does_not_help_or_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "same", None)
    with pytest.raises(ContextLengthExceeded):
        build("tests_shift:same", 24, prompt="x" * 64)
    for name in ("tests_shift:none", "nowhere.at_all:f", "tests_shift:__name__", "drop"):
        with pytest.raises(InvalidRequest, match="context_shift"):
            ContextShift(name, Preload())


def test_preload_of_messages_is_what_all_such_conversations_begin_with() -> None:
    model = Script()
    preload = read_preload(model, {"messages": [SYSTEM]})
    assert shown(Prompt(preload.tokens)) == "<|im_start|>system\nObey.<|im_end|>\n<|im_start|>user\n"
    preload = read_preload(model, {"messages": chat("Hi")})
    assert shown(Prompt(preload.tokens)).endswith("Hi<|im_end|>\n<|im_start|>assistant\n")


def test_preload_of_a_prefix_is_its_tokens() -> None:
    assert read_preload(Script(bos=258), {"prefix": "ab"}).tokens == (258, 97, 98)
    assert read_preload(Script(), {}) == Preload()


@pytest.mark.parametrize(
    "preload", [{"prefix": 5}, {"messages": "x"}, {"prefix": "a", "messages": [SYSTEM]}, {"prefix": "x" * 2000}]
)
def test_preload_wrong_is_refused(preload: dict[str, Any]) -> None:
    with pytest.raises(InfsupError, match="preload"):
        read_preload(Script(), preload)
