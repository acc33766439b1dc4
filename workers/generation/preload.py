"""What a model is to have read before its first request: `preload.messages` or `preload.prefix` of its definition."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infsup.protocol.errors import InvalidRequest

from .checks import read_text
from .messages import Message, read_messages
from .model import PromptModel
from .params import TextParams
from .prompts import Room, build_prompt, text_prompt


@dataclass(frozen=True, slots=True)
class Preload:
    """The tokens that requests of this beginning have in common; `messages` are those of `preload.messages`."""

    tokens: tuple[int, ...] = ()
    messages: tuple[Message, ...] = ()


def read_preload(model: PromptModel, preload: Mapping[str, Any]) -> Preload:
    """Tokenise a definition's `preload`. Raises `InvalidRequest` naming the key, and the errors of `build_prompt`."""
    prefix, messages = preload.get("prefix"), preload.get("messages")
    if prefix and messages:
        raise InvalidRequest("preload: found both messages and prefix, allowed is one of them", param="preload")
    if messages:
        return _read_chat(model, read_messages(messages, "preload.messages"))
    if prefix:
        room = Room("preload.prefix", model.context_size)
        tokens = text_prompt(model.vocabulary, TextParams(prompt=read_text(prefix, room.field)), room).tokens
        room.check(len(tokens))
        return Preload(tokens)
    return Preload()


def _read_chat(model: PromptModel, messages: tuple[Message, ...]) -> Preload:
    """Return what two conversations that go on differently have in common: templates may join messages."""
    role = "assistant" if messages[-1]["role"] == "user" else "user"
    first, second = (
        build_prompt(model, TextParams(messages=(*messages, {"role": role, "content": content}))).tokens
        for content in ("a", "b")
    )
    common = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), len(first))
    return Preload(first[:common], messages)
