"""How models write tool calls, found out from their chat templates."""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallFormat:
    """One way to write calls.

    A call is `before`, then either an object with `name` and `key` (the arguments), or, with `name_end`, the name,
    `name_end` and the arguments; then `after`. With `listed` the objects are an array and `before` stands once.
    `bare` calls are the whole answer, which begins with them. `between` separates calls, None where there is only one.
    Whitespace at the ends of `before` and `after` is what the model was trained on; it is read with any or none.
    """

    name: str
    before: str = ""
    after: str = ""
    name_end: str = ""
    key: str = "arguments"
    listed: bool = False
    bare: bool = False
    between: str | None = None
    short_ids: bool = False
    """Ids have to be 9 letters and digits: Mistral's templates refuse others."""

    @property
    def begin(self) -> str:
        """The marker that announces a call, without whitespace."""
        return self.before.strip()

    @property
    def end(self) -> str:
        """The marker after a call, without whitespace."""
        return self.after.strip()

    @property
    def markers(self) -> tuple[str, ...]:
        """Texts that may be control tokens."""
        return tuple(text for text in (self.begin, self.end, self.name_end.strip(), "[CALL_ID]") if text)


HERMES = CallFormat("hermes", "<tool_call>\n", "\n</tool_call>", between="\n")
MISTRAL = CallFormat("mistral", "[TOOL_CALLS]", listed=True, between=", ", short_ids=True)
MISTRAL_SPACED = CallFormat("mistral", "[TOOL_CALLS] ", listed=True, between=", ", short_ids=True)
MISTRAL_NAMED = CallFormat("mistral-named", "[TOOL_CALLS]", name_end="[ARGS]", between="", short_ids=True)
FUNCTION_TAGS = CallFormat("function-tags", "<function=", "</function>", name_end=">", between="\n")
FUNCTIONARY = CallFormat("functionary", ">>>", name_end="\n", between="\n")
LLAMA = CallFormat("llama", "<|python_tag|>", key="parameters", bare=True)
GENERIC = CallFormat("generic", bare=True, between="\n")

_SIGNS: tuple[tuple[str, CallFormat], ...] = (
    (r"\[TOOL_CALLS\][\s\S]*\[ARGS\]", MISTRAL_NAMED),
    (r"\[TOOL_CALLS\] \[|\[TOOL_CALLS\] ['\"]", MISTRAL_SPACED),
    (r"\[TOOL_CALLS\]", MISTRAL),
    (r"<tool_call>", HERMES),
    (r">>>all|>>>\{\{|'>>>'", FUNCTIONARY),
    (r"<function=", FUNCTION_TAGS),
    (r"<\|python_tag\|>|[\"']?parameters[\"']?: |Environment: ipython", LLAMA),
)


def detect_format(template: str) -> CallFormat:
    """Return the format of a template's source; `GENERIC` for one that knows no tools, or another way of calling."""
    if not knows_tools(template):
        return GENERIC
    return next((found for sign, found in _SIGNS if re.search(sign, template)), GENERIC)


def knows_tools(template: str) -> bool:
    """Say whether a template shows the tools to the model."""
    return re.search(r"\btools\b", template) is not None


FORMATS: Mapping[str, CallFormat] = {
    form.name: form for form in (HERMES, MISTRAL, MISTRAL_NAMED, FUNCTION_TAGS, FUNCTIONARY, LLAMA, GENERIC)
}
