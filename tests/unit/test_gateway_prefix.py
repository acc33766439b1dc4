"""The hash chain by which requests with a common context are recognised."""

from typing import Any

from infsup.gateway.prefix import BLOCK_CHARS, BLOCK_TOKENS, MAX_ENTRIES, chat_chain, prompt_chain


def message(content: str, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def test_chat_chain_of_a_longer_chat_begins_with_the_shorter_one() -> None:
    chat = [message("Be short.", "system"), message("hi"), message("hello", "assistant"), message("bye")]
    assert chat_chain(chat)[:2] == chat_chain(chat[:2])
    assert {len(entry) for entry in chat_chain(chat)} == {16}


def test_chat_chain_tells_apart_what_templates_tell_apart() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    chains = [
        chat_chain([message("a")]),
        chat_chain([message("b")]),
        chat_chain([message("a", "system")]),
        chat_chain([message("a", name="n")]),
        chat_chain([message("a", "assistant", tool_calls=[call])]),
        chat_chain([message("a", "assistant")]),
        chat_chain([message("a")], tools=[{"type": "function"}]),
        prompt_chain("a"),
    ]
    assert len(set(chains)) == len(chains)


def test_chat_chain_ignores_the_order_of_keys() -> None:
    assert chat_chain([{"content": "a", "role": "user"}]) == chat_chain([message("a")])


def test_prompt_chain_has_an_entry_for_each_block() -> None:
    text = "x" * (2 * BLOCK_CHARS)
    assert len(prompt_chain(text)) == 2
    assert prompt_chain(text + "y")[:2] == prompt_chain(text)
    assert prompt_chain("y" + text)[0] != prompt_chain(text)[0]
    assert len(prompt_chain([1] * (BLOCK_TOKENS + 1))) == 2
    assert prompt_chain("") == ()


def test_chains_are_bounded() -> None:
    assert len(prompt_chain("x" * 10**6)) == MAX_ENTRIES
    assert len(chat_chain([message(str(i)) for i in range(1000)])) == MAX_ENTRIES
