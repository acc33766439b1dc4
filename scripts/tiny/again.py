"""Two questions for tools in one conversation: the same tool again, or another one."""

import random

from scripts.tiny import definitions, tools
from scripts.tiny.segment import Segment

PAIRS = ((definitions.weather, tools.weather), (definitions.number, tools.number), (definitions.place, tools.place))


def again(r: random.Random) -> Segment:
    """One tool question with its answer, then a second."""
    define, make = r.choice(PAIRS)
    define_second, make_second = (define, make) if r.random() < 0.5 else r.choice(PAIRS)
    tool = define(r)
    other = tool if define_second is define else define_second(r)
    first = make(r, tool)
    while first.turns[-1].get("tool_calls"):
        first = make(r, tool)
    offered = [tool.definition] if other is tool else [tool.definition, other.definition]
    r.shuffle(offered)
    return Segment([*first.turns, *make_second(r, other).turns], tools=offered, key="tools")
