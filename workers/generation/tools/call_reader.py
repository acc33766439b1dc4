"""Reads one call as it arrives: its name, then its arguments in pieces as they were written."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from .json_reader import MalformedCall, ObjectReader, ValueReader, read_json

MAX_NAME = 300
_SPACE = " \t\r\n"
_ARGUMENTS = ("arguments", "parameters")
_CALL_ID = "[CALL_ID]"


@dataclass(frozen=True, slots=True)
class Named:
    """The function's name, and an id if the model gave one."""

    name: str
    id: str = ""


Event = Named | str
"""A `Named` comes first, then pieces of the arguments."""


class CallReader(Protocol):
    """Reads one call."""

    ended: bool

    @property
    def rest(self) -> str:
        """The text behind the call once it has ended, or that was not read when it is malformed."""
        ...

    def push(self, text: str) -> Iterator[Event]:
        """Take text and yield what it tells. Raises `MalformedCall` when this is no call."""
        ...


class ObjectCall:
    """`{"name": …, "arguments": {…}}`, in either order; `parameters` is another word for it."""

    def __init__(self) -> None:
        """Begin in front of the object."""
        self.ended = False
        self._object = ObjectReader()
        self._name = ""
        self._named = False
        self._held = ""  # arguments that came before the name, or are a text that holds JSON
        self._argued = False
        self._quoted = False
        self._complete = False

    @property
    def rest(self) -> str:
        """See `CallReader.rest`."""
        return self._object.rest

    def push(self, text: str) -> Iterator[Event]:
        """See `CallReader.push`."""
        for piece in self._object.push(text):
            if piece.name == "name":
                self._name += piece.text
                if piece.ended:
                    self._named = True
                    yield Named(read_json(self._name))
            elif piece.name in _ARGUMENTS:
                self._quoted = self._quoted if self._argued else piece.text.startswith('"')
                self._argued, self._complete = True, piece.ended
                self._held += piece.text
            if self._named and self._held and (self._complete or not self._quoted):
                held, self._held = self._held, ""
                yield read_json(held) if self._quoted else held
        if self._object.ended:
            if not self._named:
                raise MalformedCall
            self.ended = True
            if not self._argued:
                yield "{}"


class NamedCall:
    """The name, a marker, and the arguments as an object: `name[ARGS]{…}`."""

    def __init__(self, name_end: str) -> None:
        """Begin in front of the name; `name_end` is the marker."""
        self.ended = False
        self.rest = ""
        self._name_end = name_end
        self._head = ""
        self._value: ValueReader | None = None

    def push(self, text: str) -> Iterator[Event]:
        """See `CallReader.push`."""
        if self._value is None:
            self._head += text
            name, marker, behind = self._head.partition(self._name_end)
            text = behind.lstrip(_SPACE)
            if not marker or not text:
                if len(name) > MAX_NAME:
                    raise MalformedCall
                return
            if text[0] != "{":
                raise MalformedCall
            name, _, given = name.strip(_SPACE).partition(_CALL_ID)
            self._value = ValueReader()
            yield Named(name, given)
        count = self._value.push(text)
        if count:
            yield text[:count]
        self.ended, self.rest = self._value.ended, text[count:]
