"""On which line of a TOML document a key stands. The standard library parses TOML but does not tell."""

import contextlib
import re
import tomllib
from bisect import bisect_right

from .problems import KeyPath

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})' + r"|'''.*?'''(?:'{0,2})" + r'|"(?:\\.|[^"\\\n])*"' + r"|'[^'\n]*'",
    re.DOTALL,
)
_OTHER_VALUE = re.compile(r"[^,\]}\n#]+")


def locate_keys(text: str) -> dict[KeyPath, int]:
    """Return the line, counted from 1, of every key, table and list item of a valid TOML document.

    A document that this scanner does not understand gives what was found before that place.
    """
    scanner = _Scanner(text)
    with contextlib.suppress(_NotUnderstoodError, RecursionError):
        scanner.scan_document()
    return scanner.lines


class _NotUnderstoodError(Exception):
    """The text at this place is not what the grammar has there."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._tables: dict[KeyPath, int] = {}  # the index of the latest [[table]] of each name
        self.lines: dict[KeyPath, int] = {}

    def scan_document(self) -> None:
        table: KeyPath = ()
        self._take(_BLANK)
        while self._at < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._scan_header()
            else:
                self._scan_pair(table)
            self._take(_BLANK)

    def _scan_header(self) -> KeyPath:
        start, brackets = self._at, 2 if self._text.startswith("[[", self._at) else 1
        self._expect("[" * brackets)
        *parents, last = self._scan_key()
        self._expect("]" * brackets)
        path: KeyPath = ()
        for part in parents:
            path += (part,)
            if path in self._tables:
                path += (self._tables[path],)
            self._note(path, start)
        path += (last,)
        if brackets == 2:
            self._tables[path] = self._tables.get(path, -1) + 1
            self._note(path, start)
            path += (self._tables[path],)
        self.lines[path] = self._line_at(start)  # rather here than where a table inside it came first
        return path

    def _scan_pair(self, table: KeyPath) -> None:
        start, path = self._at, table
        for part in self._scan_key():
            path += (part,)
            self._note(path, start)
        self._expect("=")
        self._take(_SPACE)
        self._scan_value(path)

    def _scan_key(self) -> list[str]:
        """Read a dotted key and the space around it."""
        parts: list[str] = []
        while True:
            self._take(_SPACE)
            if self._text[self._at : self._at + 1] in {'"', "'"}:
                parts.append(tomllib.loads(f"key = {self._take(_STRING)}")["key"])
            else:
                parts.append(self._take(_BARE_KEY))
            self._take(_SPACE)
            if not self._text.startswith(".", self._at):
                return parts
            self._at += 1

    def _scan_value(self, path: KeyPath) -> None:
        match self._text[self._at : self._at + 1]:
            case "[":
                self._scan_list(path)
            case "{":
                self._scan_inline_table(path)
            case '"' | "'":
                self._take(_STRING)
            case _:
                self._take(_OTHER_VALUE)

    def _scan_list(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        while not self._closed("]"):
            self._note((*path, index), self._at)
            self._scan_value((*path, index))
            index += 1

    def _scan_inline_table(self, path: KeyPath) -> None:
        self._at += 1
        while not self._closed("}"):
            self._scan_pair(path)

    def _closed(self, bracket: str) -> bool:
        """Skip blanks and a comma; tell whether the list or table ends here, and step over the end."""
        self._take(_BLANK)
        if self._text.startswith(",", self._at):
            self._at += 1
            self._take(_BLANK)
        if self._text.startswith(bracket, self._at):
            self._at += 1
            return True
        return False

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise _NotUnderstoodError
        self._at = match.end()
        return match[0]

    def _expect(self, token: str) -> None:
        if not self._text.startswith(token, self._at):
            raise _NotUnderstoodError
        self._at += len(token)

    def _note(self, path: KeyPath, offset: int) -> None:
        self.lines.setdefault(path, self._line_at(offset))

    def _line_at(self, offset: int) -> int:
        return bisect_right(self._line_starts, offset)
