"""GBNF as a grammar for tokens.

Rules that do not contain themselves become regular expressions, so that nothing is decided before its time:
`[a-z]+ "z"` as two tokens of a lexer would never find the z. What is left are the rules that nest.
"""

from collections.abc import Mapping

from infsup.protocol.errors import InvalidRequest

from .gbnf_reader import Characters, Either, Node, Reference, Repeat, Sequence, Text, read_gbnf, references
from .lark import Rules
from .patterns import quoted

MAX_EXPRESSION = 20_000
"""Rules whose expression grows longer than this stay rules."""
MAX_RULES = 2000


def gbnf(source: str, field: str) -> Rules:
    """Return the grammar. Raises `InvalidRequest` naming the field, the line and the column."""
    rules = read_gbnf(source, field)
    if len(rules) > MAX_RULES:
        raise InvalidRequest(f"{field}: found {len(rules)} rules, allowed are {MAX_RULES}", param=field)
    return _Writer(rules).grammar()


class _Writer:
    """Writes the rules that are used."""

    def __init__(self, rules: Mapping[str, Node]) -> None:
        self._rules = rules
        self._names = {name: f"gbnf_{i}" for i, name in enumerate(rules)}
        self._nesting = _nesting(rules)
        self._expressions: dict[str, str | None] = {}
        self._written: dict[str, str] = {}

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
        for part in (*parts, None):
            if part is not None and self._expression(part) is not None:
                joined.append(part)
                continue
            if joined:
                runs.append(Sequence(tuple(joined)))
                joined = []
            if part is not None:
                runs.append(part)
        return runs

    def _rule_expression(self, name: str) -> str | None:
        """Return a rule as an expression, None where it nests or grows too long."""
        if name in self._nesting:
            return None
        if name not in self._expressions:
            self._expressions[name] = self._expression(self._rules[name])
        return self._expressions[name]

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


def _nesting(rules: Mapping[str, Node]) -> frozenset[str]:
    """Return the rules that contain themselves or a rule that does, and those in chains too long to follow."""
    uses = {name: {reference.name for reference in references(node)} for name, node in rules.items()}
    flat: set[str] = set()
    while True:
        found = {name for name, used in uses.items() if name not in flat and used <= flat}
        if not found:
            return frozenset(rules.keys() - flat)
        flat |= found


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
