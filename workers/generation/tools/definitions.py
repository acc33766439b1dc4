"""The tools of a request: `tools`, `tool_choice` and `parallel_tool_calls`, checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infsup.protocol.errors import UnsupportedParameter
from infsup.workers.generation.checks import is_map, read_bool, read_list, read_map, read_text, refusal

MAX_TOOLS = 512
NO_PARAMETERS: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MODES = ("auto", "none", "required")


@dataclass(frozen=True, slots=True)
class Tool:
    """One function. `definition` is what chat templates get, `parameters` a JSON Schema, None for none; arguments of
    `strict` ones have to validate even where the model itself decides to call.
    """

    name: str
    definition: Mapping[str, Any]
    parameters: Mapping[str, Any] | None = None
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """`mode` is "auto", "none" or "required"; with `name` this one function has to be called."""

    mode: str = "auto"
    name: str = ""


AUTO = Choice()


def read_tools(value: object, name: str = "tools") -> tuple[Tool, ...]:
    """Check a list of tools. Raises `InvalidRequest` or `UnsupportedParameter` naming e.g. `tools[0].function.name`."""
    tools = tuple(_read_tool(entry, f"{name}[{i}]") for i, entry in enumerate(read_list(value, name, MAX_TOOLS)))
    seen: set[str] = set()
    for i, tool in enumerate(tools):
        if tool.name in seen:
            raise refusal(f"{name}[{i}].function.name", tool.name, "a name that no other tool has")
        seen.add(tool.name)
    return tools


def _read_tool(value: object, path: str) -> Tool:
    given = read_map(value, path)
    if given.get("type", "function") != "function":
        raise UnsupportedParameter(f"{path}.type: only 'function' is supported", param=f"{path}.type")
    path = f"{path}.function"
    function = read_map(given.get("function"), path)
    name = read_text(function.get("name"), f"{path}.name")
    if not _NAME.fullmatch(name):
        raise refusal(f"{path}.name", name, "a name of 1 to 64 of A-Z a-z 0-9 _ . -")
    if function.get("description") is not None:
        read_text(function["description"], f"{path}.description")
    strict = function.get("strict") is not None and read_bool(function["strict"], f"{path}.strict")
    parameters = function.get("parameters")
    if parameters is not None:
        parameters = read_map(parameters, f"{path}.parameters")
    return Tool(name, {**given, "type": "function"}, parameters or None, strict)


def read_choice(value: object, name: str = "tool_choice") -> Choice:
    """Check a choice: a mode, or `{"type": "function", "function": {"name": …}}`. Raises like `read_tools`."""
    if isinstance(value, str):
        if value not in _MODES:
            raise refusal(name, value, f"{', '.join(map(repr, _MODES))} or a function")
        return Choice(value)
    if not is_map(value):
        raise refusal(name, value, f"{', '.join(map(repr, _MODES))} or a function")
    given = read_map(value, name)
    if given.get("type") != "function":
        raise UnsupportedParameter(f"{name}.type: only 'function' is supported", param=f"{name}.type")
    function = read_map(given.get("function"), f"{name}.function")
    return Choice("required", read_text(function.get("name"), f"{name}.function.name"))


def check_choice(choice: Choice, tools: tuple[Tool, ...]) -> None:
    """Raise `InvalidRequest` for a choice that the tools do not have."""
    if choice.mode == "required" and not tools:
        raise refusal("tool_choice", choice.name or choice.mode, "'auto' or 'none' without tools")
    if choice.name and choice.name not in {tool.name for tool in tools}:
        known = ", ".join(tool.name for tool in tools)[:200]
        raise refusal("tool_choice.function.name", choice.name, f"one of the tools: {known}")
