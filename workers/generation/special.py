"""Keeps text from users apart from control tokens: `<|im_end|>` in a message is text, and ends no turn.

Before a chat template is rendered, every place in the conversation where the text of a control token begins gets
a mark in front, a Unicode noncharacter that the conversation does not contain. After rendering, only unmarked
control tokens are the template's own; the marks are dropped and the rest is tokenised as plain text.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from infsup.protocol.errors import InvalidRequest

from .checks import is_list, is_map

_MARKS = tuple(map(chr, range(0xFDD0, 0xFDF0)))
"""Noncharacters: reserved for internal use by programs such as this one."""


def free_marks(value: Any, count: int) -> tuple[str, ...]:
    """Return `count` marks that occur nowhere in `value`. Raises `InvalidRequest` when it uses them up."""
    used: set[str] = set()
    for text in _texts(value):
        if not text.isascii():
            used.update(mark for mark in _MARKS if mark in text)
    free = [mark for mark in _MARKS if mark not in used]
    if len(free) < count:
        raise InvalidRequest("messages: found all of U+FDD0 to U+FDEF, which are no characters", param="messages")
    return tuple(free[:count])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif is_map(value):
        for key, entry in value.items():
            yield from _texts(key)
            yield from _texts(entry)
    elif is_list(value):
        for entry in value:
            yield from _texts(entry)


class SpecialText:
    """Finds the texts of control tokens."""

    def __init__(self, names: Iterable[str]) -> None:
        """`names` are the texts; empty ones are ignored."""
        by_length = sorted({name for name in names if name}, key=len, reverse=True)
        # First a look at one character: vocabularies with a thousand control tokens would else be slow to search for.
        first = "".join(sorted({re.escape(name[0]) for name in by_length}))
        self._first = f"(?=[{first}])" if first else "(?!)"
        self._either = "|".join(map(re.escape, by_length))
        self._begins = re.compile(f"{self._first}(?={self._either})")

    def mark(self, value: Any, mark: str) -> Any:
        """Return a copy of a JSON-like value with `mark` before every control text, overlapping ones too."""
        if isinstance(value, str):
            return self._begins.sub(mark, value)
        if is_map(value):
            return {self.mark(key, mark): self.mark(entry, mark) for key, entry in value.items()}
        if is_list(value):
            return [self.mark(entry, mark) for entry in value]
        return value

    def split(self, text: str, mark: str) -> Iterator[tuple[str, bool]]:
        """Yield the parts of a marked text, without the marks, and whether each is a control token."""
        plain_from = 0
        for found in re.finditer(f"{self._first}(?<!{mark})(?:{self._either})", text):
            if found.start() > plain_from:
                yield text[plain_from : found.start()].replace(mark, ""), False
            yield found.group(), True
            plain_from = found.end()
        if plain_from < len(text):
            yield text[plain_from:].replace(mark, ""), False
