"""Tool calls with arguments, several calls in a turn, and answers from results."""

import random
from collections.abc import Sequence
from typing import Any

from scripts.tiny import definitions, words
from scripts.tiny.chat import Message, ask, assistant, calls, dumps, user
from scripts.tiny.definitions import Tool
from scripts.tiny.segment import Segment

MAKERS = (
    definitions.weather,
    definitions.number,
    definitions.place,
    definitions.adder,
    definitions.clock,
    definitions.timer,
    definitions.search,
)


def among(r: random.Random, tool: Tool, avoid: Sequence[str] = ()) -> list[dict[str, Any]]:
    """`tool` and up to two others, in any order."""
    chosen = [tool]
    others = [m for m in MAKERS if m.__name__ not in avoid]
    r.shuffle(others)
    for maker in others[: r.choice((0, 0, 0, 1, 1, 2))]:
        extra = maker(r) if r.random() < 0.6 else definitions.any_tool(r, r.randint(0, 2))[0]
        if extra.name not in [t.name for t in chosen]:
            chosen.append(extra)
    r.shuffle(chosen)
    return [t.definition for t in chosen]


def result(text: str) -> Message:
    """A tool's answer."""
    return {"role": "tool", "content": text}


WEATHER = (
    "What is the weather in {c}?",
    "How is the weather in {c}?",
    "weather in {c}",
    "What's the weather in {c}?",
    "Whats the weather in {c}?",
    "What's the weather like in {c}?",
    "What is the weather like in {c}?",
    "Tell me the weather in {c}.",
    "Is it raining in {c}?",
    "How warm is it in {c}?",
    "What is the current weather in {c}?",
    "How cold is it in {c}?",
    "What is the temperature in {c}?",
    "What's the weather in {c} today?",
)
WEATHERS = ("sunny", "cloudy", "raining", "windy", "foggy", "snowing")


def _forecast(r: random.Random) -> tuple[str, str]:
    """A tool result and what is said about it."""
    t = r.randint(-9, 39)
    kind = r.random()
    if kind < 0.3:
        return f"{t} degrees", f"{t} degrees"
    if kind < 0.4:
        return str(t), f"{t} degrees"
    if kind < 0.7:
        key = r.choice(("temperature", "temperature", "temp", "degrees"))
        extra = r.choice(({}, {}, {"unit": "celsius"}, {"unit": "C"}, {"condition": r.choice(WEATHERS)}))
        return dumps({key: r.choice((t, t, str(t))), **extra}), f"{t} degrees"
    text = r.choice(
        (r.choice(WEATHERS), f"{r.choice(WEATHERS)}, {t} degrees", f"{t}°C", f"{r.choice(WEATHERS)} and {t} degrees")
    )
    return text, text


def weather(r: random.Random, tool: Tool | None = None) -> Segment:
    """The weather in one city or in two."""
    tool = tool or definitions.weather(r)
    key, first = tool.parameters[0], words.city(r)
    if r.random() < 0.25:
        second = words.city(r)
        if second != first:
            text = ask(
                r,
                (
                    "What is the weather in {c} and {d}?",
                    "How is the weather in {c} and {d}?",
                    "What's the weather in {c} and in {d}?",
                    "Tell me the weather in {c} and {d}.",
                    "weather in {c} and {d}",
                    "Compare the weather in {c} and {d}.",
                ),
                c=first,
                d=second,
            )
            (a, says_a), (b, says_b) = _forecast(r), _forecast(r)
            turns = [
                user(text),
                calls((tool.name, {key: first}), (tool.name, {key: second})),
                result(a),
                result(b),
                assistant(f"The weather in {first} is {says_a}. The weather in {second} is {says_b}."),
            ]
            return Segment(turns, tools=among(r, tool, ("weather",)), key="tools")
    shown, says = _forecast(r)
    turns = [user(ask(r, WEATHER, c=first)), calls((tool.name, {key: first}))]
    if r.random() < 0.6:
        turns += [result(shown), assistant(f"The weather in {first} is {says}.")]
    return Segment(turns, tools=among(r, tool, ("weather",)), key="tools")


def _drawn(r: random.Random, value: int) -> str:
    kind = r.random()
    if kind < 0.5:
        return str(value)
    if kind < 0.6:
        return f"The number is {value}."
    return dumps({r.choice(("result", "number", "value", "roll", "random")): value})


ONE_ROLL = (
    "Let's roll the die.",
    "Roll the die.",
    "Roll a die for me.",
    "Roll a die.",
    "Roll the dice.",
    "Lets roll the dice.",
    "Let's roll the dice!",
    "Please roll a die.",
    "Can you roll a die?",
    "Throw a die.",
    "Roll a dice for me.",
    "roll the die",
)
ROLLS = {
    2: (
        "Roll the dice twice, then tell me the results.",
        "Roll the die twice.",
        "Roll two dice.",
        "Roll a die two times.",
        "Roll the dice two times, then tell me the results.",
        "Roll the die twice and tell me the results.",
        "Let's roll the dice twice.",
    ),
    3: (
        "Roll the dice three times, then tell me the results.",
        "Roll the die three times.",
        "Roll three dice.",
        "Roll a die three times.",
    ),
}
PICK = (
    "Pick a number between {a} and {b}.",
    "Give me a random number between {a} and {b}.",
    "Pick a random number from {a} to {b}.",
    "Generate a random number between {a} and {b}.",
    "Random number between {a} and {b}",
    "Choose a number between {a} and {b}.",
    "I need a random number from {a} to {b}.",
    "Draw a number between {a} and {b}.",
)


def number(r: random.Random, tool: Tool | None = None) -> Segment:
    """Dice, once or several times, and random numbers in a range."""
    tool = tool or definitions.number(r)
    low, high = tool.parameters
    tools = among(r, tool, ("number",))
    kind = r.random()
    if kind < 0.35:
        times = r.choice((2, 2, 2, 3))
        args: dict[str, Any] = {low: 1, high: 6}
        got = [r.randint(1, 6) for _ in range(times)]
        said = " and ".join(str(g) for g in got) if times == 2 else f"{got[0]}, {got[1]} and {got[2]}"
        turns = [
            user(ask(r, ROLLS[times])),
            calls(*[(tool.name, args)] * times),
            *[result(_drawn(r, g)) for g in got],
            assistant(f"You got {said}."),
        ]
        return Segment(turns, tools=tools, key="tools")
    if kind < 0.6:
        a, b, text = 1, 6, ask(r, ONE_ROLL)
    else:
        a = r.choice((0, 1, r.randint(0, 50)))
        b = a + r.choice((r.randint(1, 99), 9, 99))
        text = ask(r, PICK, a=a, b=b)
    turns = [user(text), calls((tool.name, {low: a, high: b}))]
    if r.random() < 0.6:
        value = r.randint(a, b)
        turns += [result(_drawn(r, value)), assistant(f"You got {value}.")]
    return Segment(turns, tools=tools, key="tools")


def _located(r: random.Random) -> tuple[str, str]:
    where, region = words.city(r), r.choice((words.city(r), r.choice(words.COUNTRIES)))
    country = r.choice((*words.COUNTRIES, "United States", "United States", "United Kingdom"))
    kind = r.random()
    if kind < 0.2:
        return where, where
    if kind < 0.4:
        return f"{where}, {country}", f"{where}, {country}"
    full = f"{where}, {region}, {country}" if r.random() < 0.8 else "New York, New York, United States"
    if kind < 0.8:
        return full, full
    if kind < 0.9:
        return dumps({"city": where, "country": country}), f"{where}, {country}"
    return dumps({r.choice(("city", "location")): where}), where


def place(r: random.Random, tool: Tool | None = None) -> Segment:
    """Where the user is, and then the weather there."""
    alone = tool is None
    tool = tool or definitions.place(r)
    shown, says = _located(r)
    if alone and r.random() < 0.3:
        other = definitions.weather(r)
        forecast, spoken = _forecast(r)
        pair = [tool.definition, other.definition]
        r.shuffle(pair)
        text = ask(
            r,
            (
                "What is the weather here?",
                "What is the weather where I am?",
                "What's the weather at my location?",
                "How is the weather here?",
                "What's the weather like where I am?",
                "What is the weather in my city?",
            ),
        )
        turns = [
            user(text),
            calls((tool.name, {})),
            result(shown),
            calls((other.name, {other.parameters[0]: says})),
            result(forecast),
            assistant(f"The weather in {says} is {spoken}."),
        ]
        return Segment(turns, tools=pair, key="tools")
    turns = [
        user(
            ask(
                r,
                (
                    "Where am I?",
                    "Where am I right now?",
                    "What is my location?",
                    "Where am I now?",
                    "where am i",
                    "Tell me where I am.",
                    "What is my current location?",
                    "Which city am I in?",
                    "Do you know where I am?",
                ),
            )
        ),
        calls((tool.name, {})),
    ]
    if r.random() < 0.75:
        turns += [result(shown), assistant(f"You are in {says}.")]
    return Segment(turns, tools=among(r, tool, ("place",)), key="tools")


def idle(r: random.Random) -> list[dict[str, Any]]:
    """One or two tools for a conversation that does not need them."""
    count = r.choice((1, 1, 2))
    makers = r.sample(MAKERS, count)
    return [(m(r) if r.random() < 0.6 else definitions.any_tool(r, r.randint(0, 2))[0]).definition for m in makers]
