"""Tool definitions as clients send them: varying names, key order, extra fields, and tools that nobody has seen."""

import random
from dataclasses import dataclass
from typing import Any

from scripts.tiny import words


@dataclass(frozen=True)
class Tool:
    """One definition and the parts of it that a call needs."""

    definition: dict[str, Any]
    name: str
    parameters: tuple[str, ...]


def define(r: random.Random, name: str, about: str, parameters: dict[str, str]) -> Tool:
    """An OpenAI tool object for `parameters` (name → JSON type) in one of the many shapes that clients send."""
    properties: dict[str, Any] = {}
    described = r.random() < 0.2
    for key, kind in parameters.items():
        properties[key] = {"type": kind, "description": f"The {key}"} if described else {"type": kind}
    if properties and r.random() < 0.05:
        first = next(iter(properties))
        if properties[first]["type"] == "string":
            properties[first]["enum"] = [words.made_up(r), words.made_up(r)]
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if r.random() < 0.5 and properties:
        schema["required"] = list(parameters)
    if r.random() < 0.15:
        schema["additionalProperties"] = False
    if r.random() < 0.15:
        items = list(schema.items())
        r.shuffle(items)
        schema = dict(items)
    function: dict[str, Any] = {"name": name}
    if r.random() < 0.75:
        function["description"] = about
    if properties or r.random() < 0.6:
        function["parameters"] = schema
    if r.random() < 0.07:
        function["strict"] = True
    if r.random() < 0.15:
        items = list(function.items())
        r.shuffle(items)
        function = dict(items)
    whole = {"type": "function", "function": function}
    if r.random() < 0.1:
        whole = {"function": function, "type": "function"}
    return Tool(whole, name, tuple(parameters))


def _style(r: random.Random, *parts: str) -> str:
    kind = r.random()
    if kind < 0.5:
        return "_".join(parts)
    return (
        parts[0] + "".join(p.capitalize() for p in parts[1:]) if kind < 0.9 else "".join(p.capitalize() for p in parts)
    )


def weather(r: random.Random) -> Tool:
    """Weather at a place."""
    name = r.choice(
        (
            "getLocationWeather",
            "get_current_weather",
            "get_weather",
            "getWeather",
            "weather",
            "get_weather_forecast",
            "getCurrentWeather",
            "current_weather",
            "fetch_weather",
            "lookup_weather",
            "weather_lookup",
        )
    )
    key = {"getLocationWeather": "location"}.get(name) or r.choice(
        ("city", "location", "city", "location", "place", "city_name", "town")
    )
    about = r.choice(
        (
            "Get the weather in a location",
            "Get the current weather",
            "Get the weather for a city",
            "Returns the weather",
            "Get the current weather in a given location",
            "Weather of a city",
        )
    )
    return define(r, name, about, {key: "string"})


def number(r: random.Random) -> Tool:
    """A random number in a range."""
    name = r.choice(
        (
            "getRandomNumber",
            "get_random_number",
            "random_number",
            "randomInt",
            "random_int",
            "roll",
            "generate_random_number",
            "pickNumber",
        )
    )
    low, high = r.choice(
        (("min", "max"), ("min", "max"), ("low", "high"), ("from", "to"), ("minimum", "maximum"), ("start", "end"))
    )
    kind = r.choice(("number", "integer"))
    about = r.choice(
        (
            "Generate a random integer in given range",
            "Generate a random number",
            "Random integer between two numbers",
            "Get a random number in a range",
        )
    )
    return define(r, name, about, {low: kind, high: kind})


def place(r: random.Random) -> Tool:
    """Where the user is."""
    name = r.choice(
        ("getUserLocation", "get_user_location", "getLocation", "get_location", "user_location", "where_am_i")
    )
    return define(
        r, name, r.choice(("Get the user's location", "Get the user's current location", "Location of the user")), {}
    )


def adder(r: random.Random) -> Tool:
    """A sum of two numbers."""
    a, b = r.choice((("a", "b"), ("a", "b"), ("x", "y"), ("first", "second"), ("num1", "num2")))
    kind = r.choice(("number", "integer"))
    return define(
        r,
        r.choice(("add", "add_numbers", "sum", "addNumbers", "calculate_sum")),
        r.choice(("Add two numbers", "Adds two numbers", "Sum of two numbers")),
        {a: kind, b: kind},
    )


def clock(r: random.Random) -> Tool:
    """The time in a city."""
    return define(
        r,
        r.choice(("get_time", "getTime", "get_current_time", "current_time", "time_in_city")),
        r.choice(("Get the time in a city", "Get the current time", "Time of a city")),
        {r.choice(("city", "city", "location", "place", "timezone")): "string"},
    )


def timer(r: random.Random) -> Tool:
    """A timer."""
    return define(
        r,
        r.choice(("set_timer", "setTimer", "start_timer", "timer", "startTimer")),
        r.choice(("Set a timer", "Start a timer", "Starts a timer")),
        {r.choice(("minutes", "minutes", "duration", "time", "duration_minutes")): r.choice(("integer", "number"))},
    )


def search(r: random.Random) -> Tool:
    """A search."""
    return define(
        r,
        r.choice(("search", "web_search", "search_web", "webSearch", "lookup", "find")),
        r.choice(("Search the web", "Search for something", "Find pages on the web")),
        {r.choice(("query", "query", "q", "text", "term")): "string"},
    )


def any_tool(r: random.Random, count: int) -> tuple[Tool, dict[str, str]]:
    """A tool that nobody has seen, with `count` parameters; name → type."""
    parts = [
        r.choice(
            (
                words.made_up(r),
                r.choice(words.NOUNS),
                r.choice(("get", "set", "make", "find", "send", "open", "run", "check")),
            )
        )
        for _ in range(r.choice((1, 2, 2, 3)))
    ]
    keys: dict[str, str] = {}
    while len(keys) < count:
        key = words.made_up(r) if r.random() < 0.4 else r.choice(words.NOUNS)
        if r.random() < 0.15:
            key = _style(r, key, r.choice(words.NOUNS))
        keys[key] = r.choice(("string", "string", "integer", "number"))
    about = " ".join(words.word(r) for _ in range(r.randint(2, 4))).capitalize()
    return define(r, _style(r, *parts), about, keys), keys
