"""The unit that skills produce and conversations are made of."""

from dataclasses import dataclass, field
from typing import Any

from scripts.tiny.chat import Message


@dataclass(frozen=True)
class Segment:
    """Some turns of a conversation that show one skill.

    `key`: words for what the segment is about; segments of one conversation share none (two names would contradict).
    `gap`: other segments may be put in before this turn (0 = nowhere).
    """

    turns: list[Message]
    system: str | None = None
    tools: list[dict[str, Any]] = field(default_factory=list)
    key: str = ""
    gap: int = 0
