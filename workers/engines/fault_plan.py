"""What the fault engine will say and do for one job, decided before it begins."""

import re
from dataclasses import dataclass, replace

from .fault_orders import After, Echo, Freeze, Garbage, Leak, Order, Oversize, Tokens

STOP, LENGTH = "stop", "length"


@dataclass(frozen=True, slots=True)
class Plan:
    """Say the pieces of `before`, do `deed`, say those of `after`, `delay` seconds apart; end with `reason`."""

    before: tuple[str, ...] = ()
    deed: Order | None = None
    after: tuple[str, ...] = ()
    delay: float = 0.0
    reason: str = STOP


def make_plan(order: Order, prompt: str, token_delay: float = 0.0) -> Plan:
    """Turn an order into a plan; `prompt` is what is echoed, `token_delay` the pace (seconds) unless ordered."""
    match order:
        case Echo():
            return Plan(after=words(prompt), delay=token_delay)
        case Tokens(count, delay):
            return Plan(after=tokens(count), delay=delay)
        case Leak() | Garbage() | Oversize() | Freeze():
            return Plan((), order, words(prompt), token_delay)
        case After(count, inner):
            plan = make_plan(inner, prompt, token_delay)
            first = tokens(count)
            after = (f" {plan.after[0]}", *plan.after[1:]) if first and plan.after else plan.after
            return replace(plan, before=(*first, *plan.before), after=after)
        case _:
            return Plan(deed=order, delay=token_delay)


def limit(plan: Plan, max_tokens: int | None, stops: tuple[str, ...]) -> Plan:
    """Shorten a plan to `max_tokens` pieces and to the text before the first stop string; the deed may be cut off."""
    pieces, reason = (*plan.before, *plan.after), plan.reason
    size = len(pieces)
    if max_tokens is not None and size > max_tokens:
        pieces, reason = pieces[:max_tokens], LENGTH
    text = "".join(pieces) if stops else ""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    if places:
        pieces, reason = _first_characters(pieces, min(places)), STOP
    if pieces == (*plan.before, *plan.after):
        return replace(plan, reason=reason)
    if len(pieces) < len(plan.before) or pieces[: len(plan.before)] != plan.before:
        return replace(plan, before=pieces, deed=None, after=(), reason=reason)
    return replace(plan, after=pieces[len(plan.before) :], reason=reason)


def words(text: str) -> tuple[str, ...]:
    """Cut a text into words that keep their spaces: joined they are the text again."""
    return tuple(re.findall(r"\s*\S+(?:\s+\Z)?|\s+", text))


def tokens(count: int) -> tuple[str, ...]:
    """Return `t0`, ` t1`, ` t2` …"""
    return tuple(f" t{number}" if number else "t0" for number in range(count))


def _first_characters(pieces: tuple[str, ...], length: int) -> tuple[str, ...]:
    kept: list[str] = []
    for piece in pieces:
        if length <= 0:
            break
        kept.append(piece[:length])
        length -= len(piece)
    return tuple(kept)
