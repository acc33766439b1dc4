"""Reads tool calls out of an answer while it is being written."""

import secrets
import string
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import Enum, auto

from infsup.workers.generation.holdback import overlap

from .call_reader import CallReader, Named, NamedCall, ObjectCall
from .formats import CallFormat
from .json_reader import MalformedCall

_SPACE = " \t\r\n"


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A piece of a call: the first one has `id` and `name`, those that follow pieces of the arguments."""

    index: int
    arguments: str = ""
    id: str = ""
    name: str = ""


@dataclass(slots=True)
class Said:
    """What a piece of an answer says: content and pieces of calls."""

    text: str = ""
    calls: list[CallPiece] = field(default_factory=list[CallPiece])


class _State(Enum):
    START = auto()  # nothing was said yet: a bare call may begin
    TEXT = auto()  # content, until a marker
    BRACKET = auto()  # in front of the array of calls
    CALL = auto()
    AFTER = auto()  # behind a call


class CallParser:
    """Turns pieces of text into content and pieces of calls; half a marker is never content.

    What begins like a call and is none (another form, a function that is not there) is content. Arguments are passed
    on as they were written. Whitespace around calls is dropped.
    """

    def __init__(self, form: CallFormat, names: Collection[str], *, most: int | None = None) -> None:
        """`names` are the functions there are; after `most` calls it is `done` and ignores the rest."""
        self._form, self._names, self._most = form, frozenset(names), most
        self._state = _State.START
        self._buffer: str = ""  # not yet looked at, or held back
        self._raw: str = ""  # of a call of which nothing was passed on yet
        self._call: CallReader = ObjectCall()
        self._open: bool = False  # the current call's name was passed on
        self._said = Said()
        self.calls: int = 0
        self.done: bool = False

    def push(self, text: str) -> Said:
        """Take the next piece of the answer."""
        self._buffer += text
        self._said = Said()
        steps: dict[_State, Callable[[], bool]] = {
            _State.START: self._at_start,
            _State.TEXT: self._in_text,
            _State.BRACKET: self._at_bracket,
            _State.CALL: self._in_call,
            _State.AFTER: self._after_call,
        }
        while not self.done and steps[self._state]():
            pass
        return self._said

    def flush(self) -> Said:
        """Return what was held back: the answer has ended."""
        self._said = Said()
        if self._open:
            self.calls += 1
        elif not self.done and (self._state is not _State.AFTER or self._buffer.strip(_SPACE)):
            self._said.text = self._raw + self._buffer
        self._buffer = self._raw = ""
        self._open = False
        return self._said

    def _at_start(self) -> bool:
        begun = self._buffer.lstrip(_SPACE)
        if not begun:
            return False
        if self._form.bare and begun[0] == "{":
            self._begin_call()
        else:
            self._state = _State.TEXT
        return True

    def _in_text(self) -> bool:
        marker = self._form.begin
        at = self._buffer.find(marker) if marker else -1
        if at < 0:
            held = overlap(self._buffer, marker)
            ready = self._buffer[: len(self._buffer) - held].rstrip(_SPACE)
            self._said.text += ready
            self._buffer = self._buffer[len(ready) :]
            return False
        ready = self._buffer[:at].rstrip(_SPACE)
        self._said.text += ready
        self._raw = self._buffer[len(ready) : at + len(marker)]
        self._buffer = self._buffer[at + len(marker) :]
        self._state = _State.BRACKET
        if not self._form.listed:
            self._begin_call()
        return True

    def _at_bracket(self) -> bool:
        begun = self._buffer.lstrip(_SPACE)
        if not begun:
            return False
        if begun[0] != "[":
            self._give_up()
            return True
        cut = len(self._buffer) - len(begun) + 1
        self._raw, self._buffer = self._raw + self._buffer[:cut], self._buffer[cut:]
        self._begin_call()
        return True

    def _begin_call(self) -> None:
        self._call = NamedCall(self._form.name_end) if self._form.name_end else ObjectCall()
        self._state = _State.CALL

    def _in_call(self) -> bool:
        pushed, self._buffer = self._buffer, ""
        if not self._open:
            self._raw += pushed
        try:
            for event in self._call.push(pushed):
                self._pass_on(event)
        except MalformedCall:
            self._give_up()
            return True
        if not self._call.ended:
            return False
        self._buffer, self._raw = self._call.rest, ""
        self._open = False
        self.calls += 1
        self._state = _State.AFTER
        self.done = self.calls == self._most
        return True

    def _pass_on(self, event: Named | str) -> None:
        if isinstance(event, str):
            self._said.calls.append(CallPiece(self.calls, event))
            return
        if event.name not in self._names:
            raise MalformedCall
        self._open, self._raw = True, ""
        name_id = event.id or new_call_id(short=self._form.short_ids)
        self._said.calls.append(CallPiece(self.calls, id=name_id, name=event.name))

    def _after_call(self) -> bool:
        text, end = self._buffer.lstrip(_SPACE), self._form.end
        if not text or (text != end and end.startswith(text)):
            self._buffer = text
            return False
        if self._form.listed and text[0] in ",]":
            self._buffer = text[1:].lstrip(_SPACE)
            self._state = _State.TEXT
            if text[0] == ",":
                self._begin_call()
        elif self._form.bare and text.lstrip("; \t\r\n")[:1] in {"{", ""}:
            self._buffer = text.lstrip("; \t\r\n")
            if self._buffer:
                self._begin_call()
            return bool(self._buffer)
        else:
            self._buffer = text.removeprefix(end).lstrip(_SPACE)
            self._state = _State.TEXT
        return True

    def _give_up(self) -> None:
        """It was no call: what is not passed on yet is content, up to the next marker."""
        rest = (self._call.rest if self._open else self._raw) + self._buffer
        marker = self._form.begin
        at = rest.find(marker) if marker else -1
        kept = at + len(marker) if at >= 0 else min(1, len(rest))
        self._said.text += rest[:kept]
        self._buffer, self._raw = rest[kept:], ""
        self.calls += self._open
        self._open = False
        self._state = _State.TEXT


def new_call_id(*, short: bool = False) -> str:
    """Return a fresh id for a call."""
    letters = string.ascii_letters + string.digits
    made = "".join(secrets.choice(letters) for _ in range(9 if short else 24))
    return made if short else f"call_{made}"
