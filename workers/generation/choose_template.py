"""Which chat template a model speaks."""

from collections.abc import Mapping

import jinja2

from infsup.protocol.errors import ModelUnavailable

from .checks import read_text
from .template import CHATML, ChatTemplate
from .vocabulary import Vocabulary


def choose_template(
    options: Mapping[str, object], own: Mapping[str, str], vocabulary: Vocabulary
) -> tuple[ChatTemplate | None, str]:
    """Return `options.chat_template`, else the model's `own`, else ChatML if its tokens are there.

    Without one, the second value says why. Raises `ModelUnavailable` for an `options.chat_template` that is none.
    """
    if options.get("chat_template"):
        source = read_text(options["chat_template"], "options.chat_template")
        try:
            return ChatTemplate({"default": source}, vocabulary.names), ""
        except jinja2.TemplateSyntaxError as error:
            raise ModelUnavailable(
                f"options.chat_template, line {error.lineno}: {error}", param="options.chat_template"
            ) from error
    if own:
        try:
            return ChatTemplate(
                own if "default" in own else {"default": next(iter(own.values())), **own}, vocabulary.names
            ), ""
        except jinja2.TemplateSyntaxError as error:
            return None, f"its own chat template is broken (line {error.lineno}: {error})"
    if "<|im_start|>" in vocabulary.special:
        return ChatTemplate({"default": CHATML}, vocabulary.names), ""
    return None, "it has no chat template (options.chat_template can give it one)"
