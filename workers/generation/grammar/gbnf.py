"""GBNF as a grammar for tokens.

Rules that do not contain themselves become regular expressions, so that nothing is decided before its time:
`[a-z]+ "z"` as two tokens of a lexer would never find the z. What is left are the rules that nest.
"""

import math
from collections.abc import Mapping

from infsup.protocol.errors import InvalidRequest

from .gbnf_reader import Characters, Either, Node, Reference, Repeat, Sequence, Text, read_gbnf, references
from .gbnf_size import shortest
from .lark import Rules
from .patterns import quoted

MAX_EXPRESSION = 5000
"""Rules whose expression grows longer than this stay rules."""
MAX_RULES = 500
MAX_SHORTEST = 10_000
"""Characters of the shortest text. Beyond these limits llguidance has run out of its stack."""


def gbnf(source: str, field: str) -> Rules:
    """Return the grammar. Raises `InvalidRequest` naming the field, the line and the column."""
    rules = read_gbnf(source, field)
    if len(rules) > MAX_RULES:
        raise InvalidRequest(f"{field}: found {len(rules)} rules, allowed are {MAX_RULES}", param=field)
    for name, length in shortest(rules).items():
        if length > MAX_SHORTEST:
            found = "without end" if length == math.inf else f"of at least {length:.0f} characters"
            raise InvalidRequest(
                f"{field}: found texts {found} for the rule {name}, allowed are {MAX_SHORTEST}", param=field
            )
    return _Writer(rules).grammar()


class _Writer:
    """Writes the rules that are used."""

    def __init__(self, rules: Mapping[str, Node]) -> None:
        self._rules = rules
        self._names = {name: f"gbnf_{i}" for i, name in enumerate(rules)}
        self._written: dict[str, str] = {}
        self._expressions: dict[str, str | None] = {}
        for name in _flat_first(rules):
            self._expressions[name] = self._expression(rules[name])

    def grammar(self) -> Rules:
        body = self._reference("root")
        return Rules(body, "".join(f"{self._names[name]}: {text}\n" for name, text in self._written.items()))

    def _reference(self, name: str) -> str:
        expression = self._rule_expression(name)
        if expression is not None:
            return f"/{expression}/" if expression else '""'
        waiting = [name]
        while waiting:  # not by recursion: rules may refer to one another in long chains
            current = waiting.pop()
            if current in self._written:
                continue
            node = self._rules[current]
            self._written[current] = self._write(node)
            waiting += {found.name for found in references(node) if self._rule_expression(found.name) is None}
        return self._names[name]

    def _write(self, node: Node) -> str:
        expression = self._expression(node)
        if expression is not None:
            return f"/{expression}/" if expression else '""'
        match node:
            case Reference(name):
                return self._names[name]
            case Sequence(parts):
                return " ".join(self._write(part) for part in self._runs(parts))
            case Either(parts):
                return "(" + " | ".join(map(self._write, parts)) + ")"
            case Repeat(part, least, most):
                return f"({self._write(part)}){_times(least, most)}"
            case Characters() | Text():
                raise AssertionError(node)  # always an expression

    def _runs(self, parts: tuple[Node, ...]) -> list[Node]:
        """Join neighbours that are expressions."""
        runs: list[Node] = []
        joined: list[Node] = []
        length = 0
        for part in (*parts, None):
            expression = None if part is None else self._expression(part)
            if joined and (expression is None or length + len(expression) > MAX_EXPRESSION):
                runs.append(Sequence(tuple(joined)) if len(joined) > 1 else joined[0])
                joined, length = [], 0
            if part is not None and expression is not None:
                joined.append(part)
                length += len(expression)
            elif part is not None:
                runs.append(part)
        return runs

    def _rule_expression(self, name: str) -> str | None:
        """Return a rule as an expression, None where it nests or grows too long."""
        return self._expressions.get(name)

    def _expression(self, node: Node) -> str | None:
        match node:
            case Text(value):
                return quoted(value)
            case Characters(ranges, negated):
                return _set(ranges, negated=negated)
            case Reference(name):
                return self._rule_expression(name)
            case Repeat(part, least, most):
                inner = self._expression(part)
                return None if inner is None else f"(?:{inner}){_times(least, most)}"
            case Sequence(parts) | Either(parts):
                inner_parts = [self._expression(part) for part in parts]
                known = [part for part in inner_parts if part is not None]
                if len(known) < len(inner_parts) or sum(map(len, known)) > MAX_EXPRESSION:
                    return None
                return "".join(f"(?:{part})" for part in known) if isinstance(node, Sequence) else "|".join(
                    f"(?:{part})" for part in known
                )  # fmt: skip


def _flat_first(rules: Mapping[str, Node]) -> list[str]:
    """Return the rules that do not nest, each behind those that it uses."""
    uses = {name: {reference.name for reference in references(node)} for name, node in rules.items()}
    users: dict[str, list[str]] = {name: [] for name in rules}
    for name, used in uses.items():
        for one in used:
            users[one].append(name)
    lacking = {name: len(used) for name, used in uses.items()}
    ready = [name for name, count in lacking.items() if not count]
    order: list[str] = []
    while ready:
        name = ready.pop()
        order.append(name)
        for user in users[name]:
            lacking[user] -= 1
            if not lacking[user]:
                ready.append(user)
    return order


def _set(ranges: tuple[tuple[str, str], ...], *, negated: bool) -> str:
    if not ranges:
        return "(?s:.)"
    inside = "".join(quoted(first) if first == last else f"{quoted(first)}-{quoted(last)}" for first, last in ranges)
    return f"[{'^' if negated else ''}{inside}]"


def _times(least: int, most: int | None) -> str:
    if most is None and least < 2:
        return "+" if least else "*"
    if (least, most) == (0, 1):
        return "?"
    return f"{{{least},{'' if most is None else most}}}"
