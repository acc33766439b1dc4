"""What to do with a prompt that is too long for the context: `options.context_shift`.

The answer has room set aside: `max_tokens`, but at most a quarter of the context. An answer that comes to the end of
the context ends there with `finish_reason` "length", whatever is chosen here.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from infsup.protocol.errors import ContextLengthExceeded, InvalidRequest

from .checks import read_text
from .messages import Message, read_messages
from .model import PromptModel
from .params import TextParams
from .preload import Preload
from .prompts import Prompt, build_prompt
from .template import ChatTemplate
from .vocabulary import Vocabulary

ERROR, DROP_OLDEST, TRUNCATE_MIDDLE = "error", "drop-oldest", "truncate-middle"
ANSWER_SHARE = 4
"""The answer gets 1 / this of the context at most."""
MOST = 64
"""Prompts over this many times the context are refused all the same: reading them would take too long."""

Fits = Callable[[Any], bool]
Function = Callable[[Any, Fits], Any]
"""Your own: gets the messages (a list of maps) or the prompt (text or token ids) and a function that tells whether such
a value fits; returns one that does."""


@dataclass(slots=True)
class _Facts:
    """A `PromptModel` with another size."""

    vocabulary: Vocabulary
    template: ChatTemplate | None
    no_template: str
    context_size: int


class ContextShift:
    """Builds prompts, and shortens those that do not fit in the way that was chosen."""

    def __init__(self, how: str, preload: Preload) -> None:
        """`how` is "error", "drop-oldest", "truncate-middle" or `module:function`; `preload` is never dropped.

        Raises `InvalidRequest` for another word or a function that is not there.
        """
        self._how = how
        self._preload = preload
        self._function = None if how in {ERROR, DROP_OLDEST, TRUNCATE_MIDDLE} else _find(how)

    def build(self, model: PromptModel, params: TextParams) -> Prompt:
        """Like `build_prompt`; raises the same errors where shortening is not wanted or does not help."""
        if self._how == ERROR:
            return build_prompt(model, params)
        wanted = min(params.max_tokens or model.context_size, model.context_size // ANSWER_SHARE)
        narrow = _sized(model, model.context_size - max(1, wanted) + 1)
        if (prompt := _fitting(narrow, params)) is not None:
            return prompt
        if self._how == TRUNCATE_MIDDLE or (self._how == DROP_OLDEST and params.prompt is not None):
            return self._cut(model, params, narrow.context_size - 1)
        shorter = self._own(narrow, params) if self._function else self._drop_turns(narrow, params)
        return _fitting(narrow, shorter) or build_prompt(model, shorter)

    def _drop_turns(self, narrow: PromptModel, params: TextParams) -> TextParams:
        """Drop as few of the oldest turns as will do; if none is few enough, all but the last."""
        kept, turns = _turns(params.messages, len(self._preload.messages) if self._is_preloaded(params) else 0)
        low, high = 0, max(0, len(turns) - 1)
        while low < high:
            middle = (low + high) // 2
            if _fitting(narrow, _without(params, kept, turns, middle)) is not None:
                high = middle
            else:
                low = middle + 1
        return _without(params, kept, turns, low)

    def _is_preloaded(self, params: TextParams) -> bool:
        ours = self._preload.messages
        return params.messages[: len(ours)] == ours

    def _cut(self, model: PromptModel, params: TextParams, budget: int) -> Prompt:
        """Cut tokens out: the beginning but for what is preloaded, or the middle."""
        whole = build_prompt(_sized(model, model.context_size * MOST), params)
        tokens = whole.tokens
        ours = self._preload.tokens
        preloaded = len(ours) if tokens[: len(ours)] == ours else 0
        first = max(preloaded, int(model.vocabulary.bos is not None and tokens[:1] == (model.vocabulary.bos,)))
        head = min(budget - 1, max(first, budget // 2) if self._how == TRUNCATE_MIDDLE else first)
        return Prompt((*tokens[:head], *tokens[len(tokens) - (budget - head) :]), whole.opening, whole.tail)

    def _own(self, narrow: PromptModel, params: TextParams) -> TextParams:
        function = cast("Function", self._function)
        if params.prompt is None:
            messages = [dict(message) for message in params.messages]
            given = function(messages, lambda value: _fitting(narrow, _with_messages(params, value)) is not None)
            return _with_messages(params, given)
        given = function(params.prompt, lambda value: _fitting(narrow, _with_prompt(params, value)) is not None)
        return _with_prompt(params, given)


def _find(path: str) -> Function:
    module_name, _, name = path.partition(":")
    try:
        function: Any = getattr(importlib.import_module(module_name), name) if module_name and name else None
    except (ImportError, AttributeError) as error:
        raise InvalidRequest(
            f"options.context_shift: found {path[:200]!r}: {error}", param="options.context_shift"
        ) from error
    if not callable(function):
        raise InvalidRequest(
            f"options.context_shift: found {path[:200]!r}, allowed is {ERROR}, {DROP_OLDEST}, {TRUNCATE_MIDDLE} or "
            "'module:function'",
            param="options.context_shift",
        )
    return cast("Function", function)


def _sized(model: PromptModel, size: int) -> PromptModel:
    return _Facts(model.vocabulary, model.template, model.no_template, size)


def _fitting(model: PromptModel, params: TextParams) -> Prompt | None:
    try:
        return build_prompt(model, params)
    except ContextLengthExceeded:
        return None


def _turns(messages: Sequence[Message], preloaded: int) -> tuple[list[Message], list[list[Message]]]:
    """Return what stays in front (what is preloaded, and instructions), and the turns, each begun by a user."""
    kept, turns = list(messages[:preloaded]), list[list[Message]]()
    for message in messages[preloaded:]:
        if message["role"] in {"system", "developer"}:
            kept.append(message)
        elif message["role"] == "user" or not turns:
            turns.append([message])
        else:
            turns[-1].append(message)
    return kept, turns


def _without(
    params: TextParams, kept: Sequence[Message], turns: Sequence[Sequence[Message]], dropped: int
) -> TextParams:
    rest = (message for turn in turns[dropped:] for message in turn)
    return replace(params, messages=(*kept, *rest))


def _with_messages(params: TextParams, value: object) -> TextParams:
    return replace(params, messages=read_messages(value, "messages of context_shift"))


def _with_prompt(params: TextParams, value: object) -> TextParams:
    if isinstance(value, str):
        return replace(params, prompt=read_text(value, "prompt of context_shift"))
    return replace(params, prompt=tuple(cast("Sequence[int]", value)))
