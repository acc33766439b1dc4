"""Tool calls for sums, times, timers and searches, and for tools that are in no list."""

import random
from typing import Any

from scripts.tiny import definitions, words
from scripts.tiny.chat import Message, ask, assistant, calls, dumps, user
from scripts.tiny.segment import Segment
from scripts.tiny.tools import among, result


def errand(r: random.Random) -> Segment:
    """Sums, times, timers and searches."""
    kind = r.choice(("add", "time", "timer", "search"))
    if kind == "add":
        tool = definitions.adder(r)
        a, b = r.randint(0, 999), r.randint(0, 99)
        text = ask(
            r,
            (
                "Add {a} and {b}.",
                "What is {a} + {b}?",
                "How much is {a} plus {b}?",
                "Calculate {a} + {b}.",
                "What is {a} plus {b}?",
            ),
            a=a,
            b=b,
        )
        args: dict[str, Any] = {tool.parameters[0]: a, tool.parameters[1]: b}
        back = str(a + b)
    elif kind == "time":
        tool = definitions.clock(r)
        where = words.city(r)
        text = ask(
            r,
            (
                "What time is it in {c}?",
                "What is the time in {c}?",
                "Tell me the time in {c}.",
                "How late is it in {c}?",
                "What's the current time in {c}?",
            ),
            c=where,
        )
        args, back = {tool.parameters[0]: where}, f"{r.randint(0, 23)}:{r.randint(10, 59)}"
    elif kind == "timer":
        tool = definitions.timer(r)
        n = r.randint(1, 90)
        text = ask(
            r,
            (
                "Set a timer for {n} minutes.",
                "Start a timer for {n} minutes.",
                "Timer for {n} minutes",
                "Please set a {n} minute timer.",
                "Wake me in {n} minutes.",
            ),
            n=n,
        )
        args, back = {tool.parameters[0]: n}, r.choice(("done", "ok", "started", f"{n} minutes left"))
    else:
        tool = definitions.search(r)
        q = words.phrase(r, 1, 3).lower()
        text = ask(
            r,
            (
                "Search for {q}.",
                'Search for "{q}".',
                "Search the web for {q}.",
                "Find {q} on the web.",
                "Look up {q}.",
                "Google {q}.",
            ),
            q=q,
        )
        args, back = {tool.parameters[0]: q}, words.phrase(r, 1, 4)
    own = {"add": "adder", "time": "clock"}.get(kind, kind)
    return Segment(_finish(r, text, tool.name, args, back), tools=among(r, tool, (own,)), key="tools")


def _finish(r: random.Random, text: str, name: str, args: dict[str, Any], back: str) -> list[Message]:
    turns = [user(text), calls((name, args))]
    if r.random() < 0.5:
        shown = back if r.random() < 0.7 else dumps({"result": back})
        turns += [result(shown), assistant(f"The result is {back}.")]
    return turns


def _value(r: random.Random, kind: str) -> Any:
    if kind == "string":
        return words.phrase(r, 1, 2).lower() if r.random() < 0.8 else words.name(r)
    return r.randrange(10 ** r.randint(1, 4))


def generic(r: random.Random) -> Segment:
    """Tools with names and parameters that are in no list: names must be read from the definition."""
    tool, kinds = definitions.any_tool(r, r.choice((0, 1, 1, 2, 2, 3)))
    args = {key: _value(r, kind) for key, kind in kinds.items()}
    if args:
        listed = [f"{key} {value}" if r.random() < 0.7 else f"{key}={value}" for key, value in args.items()]
        spoken = " and ".join(listed) if len(listed) < 3 else f"{listed[0]}, {listed[1]} and {listed[2]}"
        text = ask(
            r,
            (
                "Use {t} with {s}.",
                "Call {t} with {s}.",
                "Please call {t} with {s}.",
                "Run {t} with {s}.",
                "Use the tool {t} with {s}.",
                "Call the function {t} with {s}.",
            ),
            t=tool.name,
            s=spoken,
        )
        if r.random() < 0.2:
            text = ask(r, ("Use your tool with {s}.", "Call the tool with {s}.", "Use the tool with {s}."), s=spoken)
            return Segment(
                _finish(r, text, tool.name, args, words.phrase(r, 1, 3)), tools=[tool.definition], key="tools"
            )
    else:
        text = ask(
            r,
            ("Use {t}.", "Call {t}.", "Please call {t}.", "Run {t}.", "Use the tool {t}.", "Call the function {t}."),
            t=tool.name,
        )
    return Segment(_finish(r, text, tool.name, args, words.phrase(r, 1, 3)), tools=among(r, tool), key="tools")
