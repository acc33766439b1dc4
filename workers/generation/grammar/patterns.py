"""Regular expressions that mean the same everywhere: in a client's validator and in the grammar.

JSON Schema's patterns are ECMA-262, Python validates them with `re`, and the grammar library has Rust's syntax. The
three differ in what `\\w`, `\\s`, `.` and `[a&&b]` are. So a pattern is read here and written anew with nothing but
explicit sets. Where dialects differ, the result allows only what all of them match.
"""

import re
from dataclasses import dataclass

MAX_LENGTH = 8192
MAX_DEPTH = 40

_ANYTHING = "(?s:.*)"
_NOT_A_NEWLINE = r"[^\n\r\x{2028}\x{2029}]"
_NARROW = {
    "d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\x0b\x0c\r\x20",
    "D": r"[^\p{N}]", "W": r"[^\w\p{N}]", "S": r"[^\s\x1c-\x1f\x{85}\x{feff}]",
}  # fmt: skip
"""What is in these sets in every dialect; for use inside brackets."""
_WIDE = {
    "d": r"\p{N}", "w": r"\w\p{N}", "s": r"\s\x1c-\x1f\x{85}\x{feff}",
    "D": "[^0-9]", "W": "[^0-9A-Za-z_]", "S": r"[^\t\n\x0b\x0c\r\x20]",
}  # fmt: skip
"""What is in these sets in any dialect: to be taken out of negated ones."""
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}
_SYNTAX = frozenset("^$\\.*+?()[]{}|/-")
_REPEAT = re.compile(r"\{(\d{1,6})(?:(,)(\d{0,6}))?\}")
_GROUP = re.compile(r"\((?:\?:|\?P?<[A-Za-z_]\w*>|(?!\?))", re.ASCII)


@dataclass
class PatternError(Exception):
    """`position` counts characters of the pattern from 0, `problem` says what is there."""

    position: int
    problem: str


def explicit(pattern: str, *, whole: bool) -> str:
    """Return the pattern in Rust's syntax, matching all of a text.

    Without `whole` the pattern may match anywhere, as JSON Schema says: the result has room around it. Raises
    `PatternError` for what is no regular expression (look-around, back references, word boundaries), or cannot be
    read the same way everywhere.
    """
    if len(pattern) > MAX_LENGTH:
        raise PatternError(MAX_LENGTH, f"it is longer than {MAX_LENGTH} characters")
    reader = _Reader(pattern)
    alternatives = reader.top()
    room = "" if whole else _ANYTHING
    return "|".join(
        f"(?:{'' if begins else room}{body}{'' if ends else room})" for begins, body, ends in alternatives
    )  # fmt: skip


def quoted(text: str) -> str:
    """Return a pattern that matches exactly this text."""
    return "".join(map(_literal, text))


def _literal(character: str) -> str:
    plain = character.isascii() and character.isalnum()
    return character if plain else f"\\x{{{ord(character):x}}}"


class _Reader:
    """Reads a pattern from the left to the right."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._depth = 0

    def top(self) -> list[tuple[bool, str, bool]]:
        """Return the alternatives, each with whether it is bound to the beginning and to the end."""
        found: list[tuple[bool, str, bool]] = []
        while True:
            begins = self._take("^")
            body = self._sequence()
            ends = self._take("$")
            found.append((begins, body, ends))
            if not self._take("|"):
                break
        if self._at < len(self._pattern):
            raise self._error(")" if self._peek() == ")" else "an anchor inside")
        return found

    def _alternatives(self) -> str:
        parts = [self._sequence()]
        while self._take("|"):
            parts.append(self._sequence())
        return "|".join(parts)

    def _sequence(self) -> str:
        parts: list[str] = []
        while (character := self._peek()) and character not in "|)$^":
            parts.append(self._atom() + self._repeat())
        return "".join(parts)

    def _atom(self) -> str:
        character = self._peek()
        if character == "(":
            return self._group()
        if character == "[":
            return self._set()
        if character in "*+?{":
            raise self._error("a repetition of nothing")
        self._at += 1
        if character == ".":
            return _NOT_A_NEWLINE
        if character == "\\":
            name = self._peek()
            if name and name in _NARROW:
                self._at += 1
                return f"[{_NARROW[name]}]"
            return _literal(self._escaped())
        if character in "]}":
            raise self._error(f"{character} without its beginning", back=1)
        return _literal(character)

    def _group(self) -> str:
        found = _GROUP.match(self._pattern, self._at)
        if found is None:
            raise self._error("a group that is no regular expression (look-around or flags)")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} groups in one another")
        self._at = found.end()
        body = self._alternatives()
        if not self._take(")"):
            raise self._error("an anchor inside a group" if self._peek() else "a group that does not end")
        self._depth -= 1
        return f"(?:{body})"

    def _repeat(self) -> str:
        character = self._peek()
        if not character or character not in "*+?{":
            return ""
        if character == "{":
            found = _REPEAT.match(self._pattern, self._at)
            if found is None:
                raise self._error("{ without a count; write \\{ for the character")
            least, most = int(found[1]), found[3]
            if most and int(most) < least:
                raise self._error("a repetition whose most is less than its least")
            self._at = found.end()
            times = found.group()
        else:
            self._at += 1
            times = character
        self._take("?")  # as few as possible: the same texts
        if self._peek() and self._peek() in "*+?{":
            raise self._error("a repetition of a repetition")
        return times

    def _set(self) -> str:
        start = self._at
        self._at += 1
        negated = self._take("^")
        sets = _WIDE if negated else _NARROW
        items: list[str] = []
        while not self._take("]"):
            if not self._peek():
                self._at = start
                raise self._error("[ without ]")
            items.append(self._item(sets))
        if not items:
            self._at = start
            raise self._error("an empty set")
        return f"[{'^' if negated else ''}{''.join(items)}]"

    def _item(self, sets: dict[str, str]) -> str:
        if self._peek() == "\\" and self._peek(1) in sets and self._peek(1):
            self._at += 2
            return sets[self._pattern[self._at - 1]]
        begun = self._at
        first = self._member()
        if self._peek() != "-" or self._peek(1) in {"]", ""}:
            return _literal(first)
        self._at += 1
        if self._peek() == "\\" and self._peek(1) in sets:
            raise self._error("a range to a set", back=1)
        last = self._member()
        if last < first:
            self._at = begun
            raise self._error("a range that runs backwards")
        return f"{_literal(first)}-{_literal(last)}"

    def _member(self) -> str:
        character = self._peek()
        self._at += 1
        return self._escaped(inside=True) if character == "\\" else character

    def _escaped(self, *, inside: bool = False) -> str:
        """Read what follows a backslash."""
        name = self._peek()
        self._at += 1
        if name in _SYNTAX and name:
            return name
        if name in _CONTROLS and name:
            return _CONTROLS[name]
        if name == "b" and inside:
            return "\b"
        if name in {"x", "u"}:
            digits = self._pattern[self._at : self._at + (2 if name == "x" else 4)]
            code = int(digits, 16) if re.fullmatch("[0-9A-Fa-f]{2}|[0-9A-Fa-f]{4}", digits) else -1
            if len(digits) == (2 if name == "x" else 4) and code >= 0 and not 0xD800 <= code < 0xE000:
                self._at += len(digits)
                return chr(code)
        raise self._error(f"\\{name}, which is not read the same way everywhere", back=2)

    def _peek(self, ahead: int = 0) -> str:
        return self._pattern[self._at + ahead : self._at + ahead + 1]

    def _take(self, character: str) -> bool:
        if self._peek() != character:
            return False
        self._at += 1
        return True

    def _error(self, problem: str, back: int = 0) -> PatternError:
        return PatternError(max(0, self._at - back), problem)
