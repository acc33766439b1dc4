"""How long the shortest text of a GBNF rule is: rules that never end, or not in this life, are refused at once."""

import math
from collections.abc import Mapping

from .gbnf_reader import Characters, Either, Node, Reference, Repeat, Sequence, Text


def shortest(rules: Mapping[str, Node]) -> dict[str, float]:
    """Return the characters of each rule's shortest text; infinity for a rule that never ends."""
    known: dict[str, float] = dict.fromkeys(rules, math.inf)
    order = list(rules)
    changed = True
    while changed:
        changed = False
        order.reverse()  # chains of rules come in either direction
        for name in order:
            length = _length(rules[name], known)
            if length < known[name]:
                known[name], changed = length, True
    return known


def _length(node: Node, known: Mapping[str, float]) -> float:
    match node:
        case Text(value):
            return len(value)
        case Characters():
            return 1
        case Reference(name):
            return known[name]
        case Sequence(parts):
            return sum(_length(part, known) for part in parts)
        case Either(parts):
            return min(_length(part, known) for part in parts)
        case Repeat(part, least, _):
            return _length(part, known) * least if least else 0
