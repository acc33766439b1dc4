"""GBNF, llama.cpp's notation for grammars: from text to a tree. Errors give line and column."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from infsup.protocol.errors import InvalidRequest

MAX_LENGTH = 200_000
MAX_DEPTH = 50
MAX_REPEATS = 10_000

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_SPACE_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_COUNT = re.compile(r"\{\s*(\d{1,9})\s*(?:(,)\s*(\d{1,9})?\s*)?\}")
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([nrt\"\\\[\]]))")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True)
class Characters:
    """One character: of these ranges, or (`negated`) of none of them."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """Exactly this text."""

    value: str


@dataclass(frozen=True, slots=True)
class Reference:
    """A rule by its name; `at` is where it stands in the source."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of them."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The part `least` to `most` times; None is without end."""

    part: "Node"
    least: int
    most: int | None


Node = Characters | Text | Reference | Sequence | Either | Repeat
ANY = Characters((), negated=True)


def read_gbnf(source: str, field: str) -> dict[str, Node]:
    """Return the rules by name; "root" is among them, and every name that is used.

    Raises `InvalidRequest` naming the field, the line and the column.
    """
    if len(source) > MAX_LENGTH:
        raise InvalidRequest(
            f"{field}: found a grammar of {len(source)} characters, allowed are {MAX_LENGTH}", param=field
        )
    reader = _Reader(source, field)
    rules = reader.rules()
    if "root" not in rules:
        raise reader.error("there is no rule root", len(source))
    for node in rules.values():
        for reference in references(node):
            if reference.name not in rules:
                raise reader.error(f"there is no rule {reference.name[:80]}", reference.at)
    return rules


def references(node: Node) -> Iterator[Reference]:
    """Yield the references to rules in a node."""
    if isinstance(node, Reference):
        yield node
    elif isinstance(node, Sequence | Either):
        for part in node.parts:
            yield from references(part)
    elif isinstance(node, Repeat):
        yield from references(node.part)


class _Reader:
    """Reads one grammar from its beginning."""

    def __init__(self, source: str, field: str) -> None:
        self._source, self._field = source, field
        self._at = 0
        self._depth = 0

    def error(self, problem: str, at: int | None = None) -> InvalidRequest:
        """Return the error for a problem at a position, the current one if none is given."""
        at = self._at if at is None else at
        line = self._source.count("\n", 0, at) + 1
        column = at - (self._source.rfind("\n", 0, at) + 1) + 1
        return InvalidRequest(
            f"{self._field}: line {line}, column {column}: {problem}",
            param=self._field,
            details={"line": line, "column": column},
        )

    def rules(self) -> dict[str, Node]:
        """Return all rules."""
        found: dict[str, Node] = {}
        self._skip(lines=True)
        while self._at < len(self._source):
            name = self._name("the name of a rule")
            self._skip()
            if not self._source.startswith("::=", self._at):
                raise self.error("expected ::= after the name of a rule")
            self._at += 3
            self._skip(lines=True)
            found[name] = self._either(nested=False)
            if self._at < len(self._source) and self._source[self._at] not in "\r\n":
                raise self.error(f"expected the end of the line, found {self._source[self._at]!r}")
            self._skip(lines=True)
        return found

    def _either(self, *, nested: bool) -> Node:
        parts = [self._sequence(nested=nested)]
        while self._source.startswith("|", self._at):
            self._at += 1
            self._skip(lines=True)
            parts.append(self._sequence(nested=nested))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _sequence(self, *, nested: bool) -> Node:
        parts: list[Node] = []
        while self._at < len(self._source) and self._source[self._at] not in "|)\r\n":
            part = self._item()
            parts.append(self._repeated(part, lines=nested))
            self._skip(lines=nested)
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _item(self) -> Node:
        character = self._source[self._at]
        if character == '"':
            return Text("".join(self._characters('"', "a text that does not end")))
        if character == "[":
            return self._set()
        if character == "(":
            return self._group()
        if character == ".":
            self._at += 1
            return ANY
        at = self._at
        return Reference(self._name("a text, a set, a group or the name of a rule"), at)

    def _group(self) -> Node:
        begun = self._at
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.error(f"more than {MAX_DEPTH} groups in one another")
        self._at += 1
        self._skip(lines=True)
        node = self._either(nested=True)
        if not self._source.startswith(")", self._at):
            raise self.error("( without )", begun)
        self._at += 1
        self._depth -= 1
        return node

    def _set(self) -> Node:
        begun = self._at
        negated = self._source.startswith("^", self._at + 1)
        self._at += negated
        ranges: list[tuple[str, str]] = []
        members = self._characters("]", "[ without ]", begun)
        for first in members:
            last = first
            if self._source.startswith("-", self._at) and not self._source.startswith("-]", self._at):
                self._at += 1
                last = next(members, first)
                if last < first:
                    raise self.error("a range that runs backwards")
            ranges.append((first, last))
        if not ranges and not negated:
            raise self.error("an empty set", begun)
        return Characters(tuple(ranges), negated)

    def _characters(self, end: str, unended: str, begun: int | None = None) -> Iterator[str]:
        """Yield characters up to `end`, escapes resolved; the current one opens them."""
        begun = self._at if begun is None else begun
        self._at += 1
        while not self._source.startswith(end, self._at):
            if self._at >= len(self._source):
                raise self.error(unended, begun)
            yield self._character()
        self._at += 1

    def _character(self) -> str:
        character = self._source[self._at]
        if character != "\\":
            self._at += 1
            return character
        found = _ESCAPE.match(self._source, self._at)
        if found is None:
            raise self.error(f"{self._source[self._at : self._at + 2]} is no escape")
        if found[4]:
            self._at = found.end()
            return _ESCAPED.get(found[4], found[4])
        code = int(found[1] or found[2] or found[3], 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise self.error(f"{found.group()} is no character")
        self._at = found.end()
        return chr(code)

    def _repeated(self, part: Node, *, lines: bool) -> Node:
        self._skip(lines=lines)
        sign = self._source[self._at : self._at + 1]
        if sign and sign in "*+?":
            self._at += 1
            return Repeat(part, int(sign == "+"), 1 if sign == "?" else None)
        if sign != "{":
            return part
        found = _COUNT.match(self._source, self._at)
        if found is None:
            raise self.error("expected a count such as {3}, {3,} or {3,5}")
        least = int(found[1])
        most = None if found[2] and not found[3] else int(found[3] or least)
        if max(least, most or 0) > MAX_REPEATS or (most is not None and most < least):
            raise self.error(f"expected a count of at most {MAX_REPEATS}, the least first")
        self._at = found.end()
        return Repeat(part, least, most)

    def _name(self, expected: str) -> str:
        found = _NAME.match(self._source, self._at)
        if found is None:
            raise self.error(f"expected {expected}, found {self._source[self._at]!r}")
        self._at = found.end()
        return found.group()

    def _skip(self, *, lines: bool = False) -> None:
        found = (_SPACE_AND_LINES if lines else _SPACE).match(self._source, self._at)
        self._at = found.end() if found else self._at
