"""From a request to the tokens that a model reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from infsup.protocol.errors import ContextLengthExceeded, InvalidRequest, UnsupportedTask
from infsup.workers.generation.tools.fallback import explain_tools
from infsup.workers.generation.tools.formats import knows_tools

from .detokenizer import Detokenizer
from .messages import Message
from .model import PromptModel
from .params import TextParams
from .special import free_marks
from .template import MAX_CHARACTERS, RESERVED, ChatTemplate
from .vocabulary import Vocabulary

TAIL = 200
"""Characters of a rendered chat that tell whether its template has opened the reasoning."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """`opening` is what an answer begins with: the prefilled words of a chat, or the prompt to be echoed. `tail` is the
    end of a chat as the template wrote it.
    """

    tokens: tuple[int, ...]
    opening: str = ""
    tail: str = ""


def build_prompt(model: PromptModel, params: TextParams) -> Prompt:
    """Tokenise a request.

    Raises `InvalidRequest`, `UnsupportedTask` (a chat without a template) and `ContextLengthExceeded`.
    """
    if params.prompt is not None:
        room = Room("prompt", model.context_size)
        prompt = text_prompt(model.vocabulary, params, room)
    elif model.template is None:
        raise UnsupportedTask(f"the model cannot chat: {model.no_template}")
    else:
        room = Room("messages", model.context_size)
        prompt = chat_prompt(model.vocabulary, model.template, params, room)
    room.check(len(prompt.tokens))
    return prompt


@dataclass(frozen=True, slots=True)
class Room:
    """What the request's `field` may fill: a context of `size` tokens, less one for the answer."""

    field: str
    size: int

    def check(self, count: int, quantity: str = "") -> None:
        """Raise `ContextLengthExceeded` for too many tokens; `quantity` stands before their number."""
        if count >= self.size:
            raise ContextLengthExceeded(
                f"{self.field}: found {quantity}{count} tokens, allowed are fewer than the {self.size} of the context",
                param=self.field,
                details={"n_prompt_tokens": count, "n_ctx": self.size},
            )

    def check_text(self, vocabulary: Vocabulary, length: int) -> None:
        """Refuse so many characters if they cannot fit: tokenising them first would take as long as it likes."""
        self.check(vocabulary.fewest_tokens(length), "at least ")


def text_prompt(vocabulary: Vocabulary, params: TextParams, room: Room) -> Prompt:
    """Tokenise a raw prompt; control tokens in it count as such. Token ids are taken as they are."""
    if isinstance(params.prompt, str):
        room.check_text(vocabulary, len(params.prompt))
        tokens = vocabulary.with_bos(vocabulary.encode(params.prompt, special=True))
        text = params.prompt
    else:
        tokens = list(params.prompt or ())
        room.check(len(tokens))
        _check_ids(tokens, len(vocabulary.pieces))
        text = _decoded(vocabulary, tokens) if params.echo else ""
    if not tokens:
        if vocabulary.bos is None:
            raise InvalidRequest("prompt: found no tokens, allowed is at least one", param="prompt")
        tokens = [vocabulary.bos]
    return Prompt(tuple(tokens), text if params.echo else "")


def _check_ids(tokens: Sequence[int], size: int) -> None:
    for i, token in enumerate(tokens):
        if not 0 <= token < size:
            raise InvalidRequest(
                f"prompt[{i}]: found {token}, allowed are token ids from 0 to {size - 1}", param="prompt"
            )


def _decoded(vocabulary: Vocabulary, tokens: Sequence[int]) -> str:
    detokenizer = Detokenizer(vocabulary.pieces)
    return "".join(map(detokenizer.push, tokens)) + detokenizer.flush()


def chat_prompt(vocabulary: Vocabulary, template: ChatTemplate, params: TextParams, room: Room) -> Prompt:
    """Render and tokenise a conversation; a last message of the assistant is left open, to be continued.

    What users, tools and assistants said is text, even where it looks like a control token.
    """
    for name in RESERVED & params.template_options.keys():
        where = f"chat_template_kwargs.{name}"
        raise InvalidRequest(f"{where}: this variable is the template's own", param=where)
    said = sum(len(message["content"]) for message in params.messages)
    if said > MAX_CHARACTERS // 2:  # near what a template may render: it would fail rather than say what is wrong
        room.check_text(vocabulary, said)
    tools = [tool.definition for tool in params.shown_tools]
    conversation = list(params.messages)
    if not knows_tools(template.source(tools=bool(tools))):
        conversation = explain_tools(params.messages, tools)
    given: tuple[Any, ...] = (conversation, tools, params.template_options)
    guard, end = free_marks(given, 2)
    special = vocabulary.control_texts
    messages: list[Message]
    messages, tools, options = special.mark(given, guard)
    prefill = prefilled(params.messages)
    if prefill is None:
        text = template.render(messages, tools=tools, options=options)
    else:
        messages[-1]["content"] += end
        text = template.render(messages, tools=tools, options=options, answer=False)
        cut = text.rfind(end)
        if cut < 0:
            raise InvalidRequest(
                "messages: the model's chat template cannot continue a last message of the assistant",
                param="messages",
            )
        text = text[:cut]
    room.check_text(vocabulary, len(text) - text.count(guard))
    tokens = vocabulary.with_bos(encode_guarded(vocabulary, text, guard))
    if not tokens:
        raise InvalidRequest("messages: the chat template made no text of them", param="messages")
    return Prompt(tuple(tokens), prefill or "", text[-TAIL:])


def prefilled(messages: Sequence[Message]) -> str | None:
    """Return the assistant's words that are to be continued, None if the last message is to be answered."""
    last = messages[-1]
    return str(last["content"]) if last["role"] == "assistant" and not last.get("tool_calls") else None


def encode_guarded(vocabulary: Vocabulary, text: str, mark: str) -> list[int]:
    """Tokenise a rendered conversation in which control texts from outside carry `mark`."""
    if mark not in text:
        return vocabulary.encode(text, special=True)
    tokens: list[int] = []
    for part, is_control in vocabulary.control_texts.split(text, mark):
        tokens += [vocabulary.special[part]] if is_control else vocabulary.encode(part, special=False)
    return tokens
