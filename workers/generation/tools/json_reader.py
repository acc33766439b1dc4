"""JSON that comes in pieces: where a value ends, and the fields of an object as they arrive."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

_SPACE = " \t\r\n"
_TELLING = re.compile(r'["\\{}\[\]]')
_SCALAR_END = re.compile(r"[\s,}\]]")


class MalformedCall(Exception):
    """The text is no call after all."""


class ValueReader:
    """Finds the end of one JSON value by its quotes and brackets; what is inside is not checked."""

    def __init__(self) -> None:
        """Begin in front of a value; whitespace before it has to be gone."""
        self._depth = 0
        self._in_text = False
        self._escaped = False
        self._scalar: bool | None = None  # unknown until the first character
        self.ended = False

    def push(self, text: str) -> int:
        """Return how many characters of `text` belong to the value; fewer than all when it has `ended`."""
        if not text or self.ended:
            return 0
        if self._scalar is None:
            self._scalar = text[0] not in '"{['
        if self._scalar:
            found = _SCALAR_END.search(text)
            self.ended = found is not None
            return found.start() if found else len(text)
        return self._push_nested(text)

    def _push_nested(self, text: str) -> int:
        at = 0
        while at < len(text):
            if self._escaped:
                self._escaped = False
                at += 1
                continue
            found = _TELLING.search(text, at)
            if found is None:
                break
            at = found.end()
            self._take(found.group())
            if not self._in_text and not self._depth:
                self.ended = True
                return at
        return len(text)

    def _take(self, character: str) -> None:
        if self._in_text:
            self._escaped = character == "\\"
            self._in_text = character != '"'
        elif character == '"':
            self._in_text = True
        elif character in "{[":
            self._depth += 1
        elif character in "}]":
            self._depth -= 1


@dataclass(frozen=True, slots=True)
class Field:
    """A piece of a field's value as it was written; `ended` with its last one."""

    name: str
    text: str
    ended: bool


class ObjectReader:
    """Reads one object in pieces; `rest` is what follows it once it has `ended`."""

    def __init__(self) -> None:
        """Begin in front of the object."""
        self._buffer: str = ""
        self._name: str | None = None
        self._value: ValueReader | None = None
        self._opened: bool = False
        self.ended: bool = False

    @property
    def rest(self) -> str:
        """The text that was pushed and is not of the object."""
        return self._buffer

    def push(self, text: str) -> Iterator[Field]:
        """Take text and yield what it has of fields. Raises `MalformedCall`."""
        self._buffer += text
        while not self.ended:
            if self._value is not None:
                field = self._read_value(self._value)
                if field is None:
                    return
                yield field
                if not field.ended:
                    return
            elif not self._read_name():
                return

    def _read_value(self, value: ValueReader) -> Field | None:
        if not self._buffer:
            return None
        count = value.push(self._buffer)
        piece, self._buffer = self._buffer[:count], self._buffer[count:]
        field = Field(self._name or "", piece, value.ended)
        if value.ended:
            self._name = self._value = None
        return field

    def _read_name(self) -> bool:
        """Read on to the beginning of the next value, or the end; false when there is not enough text yet."""
        text = self._buffer.lstrip(_SPACE + ("," if self._opened else ""))
        if not text:
            return False
        if not self._opened:
            if text[0] != "{":
                raise MalformedCall
            self._opened, self._buffer = True, text[1:]
            return True
        if text[0] == "}":
            self.ended, self._buffer = True, text[1:]
            return True
        if text[0] != '"':
            raise MalformedCall
        name = ValueReader()
        count = name.push(text)
        after = text[count:].lstrip(_SPACE)
        if not name.ended or not after:
            return False
        if after[0] != ":":
            raise MalformedCall
        begun = after[1:].lstrip(_SPACE)
        if not begun:
            return False
        self._name, self._value, self._buffer = read_json(text[:count]), ValueReader(), begun
        return True


def read_json(text: str) -> str:
    """Return the text that a JSON string stands for. Raises `MalformedCall` for anything else."""
    try:
        value = json.loads(text)
    except ValueError:
        raise MalformedCall from None
    if not isinstance(value, str):
        raise MalformedCall
    return value
