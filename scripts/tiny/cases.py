"""The test sets: held-out prompts per skill, mixed and long conversations, continuation and fill-in-the-middle."""

import random
from collections.abc import Callable, Iterator
from typing import Any

from scripts.tiny import mix, stories
from scripts.tiny.chat import Message, body, render, system
from scripts.tiny.numbers import NUMBER_WORDS
from scripts.tiny.scoring import Case
from scripts.tiny.tokenizer import END, STOP

SEED = 777
PER_SKILL = 200


def turns(messages: list[Message], tools: list[dict[str, Any]], only_last: bool = False) -> list[Case]:
    """A case for every assistant message (or the last one) of a conversation."""
    found = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
    return [
        Case(render(messages[:i], tools, generate=True), body(messages[i]), STOP)
        for i in (found[-1:] if only_last else found)
    ]


def of_skill(name: str, n: int = PER_SKILL, seed: int = SEED) -> list[Case]:
    """At least `n` cases of a skill, none twice; a closed skill may have fewer."""
    r = random.Random(seed)
    found: dict[tuple[str, str], Case] = {}
    for _ in range(20 * n):
        segment = mix.draw(r, name, test=True)
        messages = [system(segment.system), *segment.turns] if segment.system is not None else segment.turns
        for case in turns(messages, segment.tools):
            found[case.prompt, case.wanted] = case
        if len(found) >= n:
            break
    return list(found.values())


def mixed(n: int = PER_SKILL, low: int = 2, high: int = 9) -> list[Case]:
    """Every answer of conversations that mix three to ten held-out segments."""
    r = random.Random(SEED + 1)
    found: list[Case] = []
    while len(found) < n:
        first = mix.draw(r, mix.pick(r, list(mix.SKILLS)), test=True)
        found += turns(*mix.combine(r, first, r.randint(low, high), test=True))
    return found


def long_recall(measure: Callable[[str], int], n: int = 60, tokens: int = 1500) -> list[Case]:
    """A name, a thing or a fact asked for after `tokens` to 1,900 real tokens of other turns."""
    r = random.Random(SEED + 2)
    found: list[Case] = []
    while len(found) < n:
        first = mix.draw(r, r.choice(("name", "thing", "fact", "introduction")), test=True)
        if not first.gap or len(first.turns) <= first.gap:
            continue
        inside: list[Message] = []
        while measure(render(inside)) < tokens:
            other = mix.draw(
                r,
                mix.pick(r, [n for n in mix.FILLERS if n not in ("unknown", "name", "thing", "fact", "introduction")]),
                test=True,
            )
            inside += other.turns
        messages = first.turns[: first.gap] + inside + first.turns[first.gap : first.gap + 2]
        if measure(render(messages)) <= 1900:
            found += turns(messages, [], only_last=True)
    return found


def continuation() -> list[Case]:
    """All learned sentences, cut at every word boundary after the third word (a closed set, complete)."""
    found = [Case(text[:cut], text[cut:], END) for text in stories.TEXTS for cut in list(_boundaries(text))[2:]]
    for n in range(3, 11):
        text = f"Let's count to {NUMBER_WORDS[n]}. " + ", ".join(NUMBER_WORDS[1 : n + 1]).capitalize() + "."
        found += [Case(text[:cut], text[cut:], END) for cut in list(_boundaries(text))[3:]]
    return found


def _boundaries(text: str) -> Iterator[int]:
    return (i for i, c in enumerate(text) if c == " ")


def middle(n: int = PER_SKILL) -> list[Case]:
    """Fill-in-the-middle of the learned sentences (a closed set)."""
    r = random.Random(SEED + 3)
    parts = {stories.middle(r) for _ in range(3 * n)}
    return [Case(f"<|fim_prefix|>{a}<|fim_suffix|>{b}<|fim_middle|>", m, END) for a, b, m in sorted(parts)[:n]]
