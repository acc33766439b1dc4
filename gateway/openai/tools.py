"""The outline of tools: what is plainly wrong is refused before a model is loaded for it. Workers check it all."""

from collections.abc import Mapping
from typing import Any

from infsup.gateway.body import is_object
from infsup.protocol.errors import UnsupportedParameter

from .validation import check_integers, refusal

MODES = ("auto", "none", "required")


def read_tools(tools: list[dict[str, Any]] | None, choice: str | dict[str, Any] | None) -> dict[str, Any]:
    """Return `tools` and `tool_choice` where they ask for something.

    Raises `InvalidRequest` or `UnsupportedParameter` naming e.g. `tools[0].function.name`.
    """
    params: dict[str, Any] = {}
    for i, tool in enumerate(tools or ()):
        _check_function(tool, f"tools[{i}]")
    if tools:
        check_integers(tools, "tools")
        params["tools"] = tools
    if isinstance(choice, str) and choice not in MODES:
        raise refusal("tool_choice", choice, f"{', '.join(MODES)} or a function")
    if isinstance(choice, dict):
        _check_function(choice, "tool_choice")
    asks = choice is not None and choice not in ("auto", "none")
    if not tools and asks:
        raise refusal("tool_choice", choice, "auto or none without tools")
    if tools and choice is not None:
        params["tool_choice"] = choice
    return params


def _check_function(value: Mapping[str, Any], path: str) -> None:
    kind = value.get("type", "function")
    if kind != "function":
        where = f"{path}.type"
        raise UnsupportedParameter(f"{where}: only 'function' is supported", param=where)
    function: Any = value.get("function")
    if not is_object(function):
        raise refusal(f"{path}.function", function, "an object with a name")
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise refusal(f"{path}.function.name", name, "a name")
