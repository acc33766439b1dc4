"""Skills by weight, the held-out split, and conversations made of several segments."""

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from scripts.tiny import again, errands, memory, numbers, roles, stories, structured, talk, tools, unknown
from scripts.tiny.chat import Message, system
from scripts.tiny.segment import Segment


@dataclass(frozen=True)
class Skill:
    """A maker of segments. A closed skill has too few prompts to hold any out: it is tested on what it has seen."""

    make: Callable[[random.Random], Segment]
    weight: float
    closed: bool = False


SKILLS = {
    "say": Skill(talk.say, 11),
    "spell": Skill(talk.spell, 16),
    "small talk": Skill(talk.small_talk, 5, closed=True),
    "fun fact": Skill(talk.fun_fact, 0.6, closed=True),
    "haiku": Skill(talk.haiku, 0.8),
    "count": Skill(numbers.count, 6),
    "between": Skill(numbers.between, 2.5),
    "add": Skill(numbers.add, 8),
    "subtract": Skill(numbers.subtract, 9),
    "order": Skill(numbers.order, 4, closed=True),
    "name": Skill(memory.name, 2.5),
    "thing": Skill(memory.thing, 4),
    "introduction": Skill(memory.introduction, 1),
    "fact": Skill(memory.fact, 2),
    "role": Skill(roles.role, 4.5),
    "secret": Skill(roles.secret, 2),
    "json": Skill(structured.json_object, 4),
    "extract": Skill(structured.extract, 4),
    "sentiment": Skill(structured.sentiment, 8),
    "story": Skill(stories.story, 3.5),
    "finish": Skill(stories.finish, 1.5, closed=True),
    "unknown": Skill(unknown.unknown, 5.5),
    "long paste": Skill(unknown.long_paste, 0.3),
    "tool: weather": Skill(tools.weather, 6),
    "tool: number": Skill(tools.number, 5),
    "tool: place": Skill(tools.place, 3.5),
    "tool: errand": Skill(errands.errand, 8),
    "tool: generic": Skill(errands.generic, 14),
    "tool: again": Skill(again.again, 1.2),
}
FILLERS = [n for n in SKILLS if not n.startswith("tool") and n not in ("role", "secret", "long paste")]
MEMORIES = ("name", "thing", "fact", "introduction")
TOOL_WORDS = (
    "weather",
    "Roll",
    "roll ",
    "Where am I",
    "where am i",
    "imer",
    "earch",
    "time is",
    "raining",
    "umber",
    "Find",
    "find ",
    "Add",
    "Calculate",
    " + ",
    "plus",
)


def held_out(segment: Segment) -> bool:
    """Whether a segment belongs to the test set (one in twenty, by a hash of all that the user says)."""
    said = "\n".join(m["content"] or "" for m in segment.turns if m["role"] == "user")
    return zlib.crc32(f"{segment.system or ''}\n{said}".encode()) % 20 == 0


def draw(r: random.Random, name: str, test: bool = False) -> Segment:
    """A segment of a skill: from the training set, or (`test`) from the held-out set."""
    skill = SKILLS[name]
    while True:
        segment = skill.make(r)
        if skill.closed or held_out(segment) == test:
            return segment


def pick(r: random.Random, names: list[str]) -> str:
    """The name of a skill, by weight."""
    return r.choices(names, [SKILLS[n].weight for n in names])[0]


def _calls_a_tool(segment: Segment) -> bool:
    return any(word in (m["content"] or "") for m in segment.turns if m["role"] == "user" for word in TOOL_WORDS)


def _arrange(r: random.Random, first: Segment, others: list[Segment]) -> list[Message]:
    """All turns, with `others` before, after or in the gap of `first`; gaps of the others stay closed."""
    if first.gap and others and r.random() < 0.85:
        inside = [m for o in others for m in o.turns]
        return first.turns[: first.gap] + inside + first.turns[first.gap :]
    at = r.randint(0, len(others))
    blocks = [o.turns for o in others]
    blocks.insert(at, first.turns)
    return [m for block in blocks for m in block]


def combine(
    r: random.Random, first: Segment, extra: int, test: bool = False
) -> tuple[list[Message], list[dict[str, Any]]]:
    """`first` in a conversation with `extra` other segments, perhaps a mild system prompt or unneeded tools."""
    if not first.tools and first.system is None and r.random() < 0.08 and not _calls_a_tool(first):
        first = replace(first, tools=tools.idle(r))
    taken = set(first.key.split())
    others: list[Segment] = []
    while len(others) < extra:
        segment = draw(r, pick(r, FILLERS), test)
        if taken & set(segment.key.split()) or (first.tools and _calls_a_tool(segment)):
            continue
        if segment.key == "self" and first.system is not None:
            continue
        taken |= set(segment.key.split())
        others.append(segment)
    turns = _arrange(r, first, others)
    prompt = first.system
    if prompt is None and r.random() < 0.3:
        prompt = roles.mild(r)
    return ([system(prompt), *turns] if prompt is not None else turns), first.tools


def conversation(r: random.Random, extra: int | None = None) -> tuple[list[Message], list[dict[str, Any]]]:
    """A training conversation."""
    if extra is None:
        extra = r.choices((0, 1, 2, 3, 5), (62, 18, 10, 6, 4))[0]
    return combine(r, draw(r, pick(r, list(SKILLS))), extra)


def long_conversation(r: random.Random) -> tuple[list[Message], list[dict[str, Any]]]:
    """Something to remember, asked for after many other turns."""
    return combine(r, draw(r, r.choice(MEMORIES)), r.randint(6, 22))
