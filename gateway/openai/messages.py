"""Chat messages: from the request's list to the canonical one that workers get."""

from collections.abc import Mapping
from typing import Any

from infsup.gateway.body import is_array, is_object
from infsup.protocol.errors import InvalidRequest, UnsupportedParameter

from .validation import refusal

ROLES = ("system", "developer", "user", "assistant", "tool")
_TEXTS = ("name", "tool_call_id", "reasoning_content")
_ECHOED = frozenset({"refusal", "annotations"})
"""Clients send an answer's message back as they got it; these parts mean nothing to a model here."""
MAX_MESSAGES = 10_000


def read_messages(entries: list[Any], path: str = "messages") -> list[dict[str, Any]]:
    """Return messages with `role`, `content` (text, parts joined by newlines) and, where given, names and tool calls.

    "developer" becomes "system", the name that chat templates know. Raises `InvalidRequest` or
    `UnsupportedParameter` naming e.g. `messages[0].content[1].type`.
    """
    if not 1 <= len(entries) <= MAX_MESSAGES:
        raise InvalidRequest(
            f"{path}: found an array of {len(entries)}, allowed are 1 to {MAX_MESSAGES} messages", param=path
        )
    return [_read_message(entry, f"{path}[{i}]") for i, entry in enumerate(entries)]


def _read_message(value: object, path: str) -> dict[str, Any]:
    given = _object(value, path)
    role = _role(given, path)
    message: dict[str, Any] = {
        "role": "system" if role == "developer" else role,
        "content": _content(given, role, f"{path}.content"),
    }
    for name, entry in given.items():
        where = f"{path}.{name[:80]}"
        if entry is None or entry == [] or name in {"role", "content"} or name in _ECHOED:
            continue
        if name in _TEXTS:
            message[name] = _text(entry, where)
        elif name == "tool_calls" and role == "assistant":
            message[name] = [_call(call, f"{where}[{i}]") for i, call in enumerate(_array(entry, where))]
        else:
            raise UnsupportedParameter(f"{where} is not supported in a message of role {role!r}", param=where)
    return message


def _role(given: Mapping[str, Any], path: str) -> str:
    where = f"{path}.role"
    if "role" not in given:
        raise InvalidRequest(f"{where}: is missing", param=where)
    role: Any = given["role"]
    if role == "function":
        raise UnsupportedParameter(f"{where}: 'function' is not supported, use 'tool'", param=where)
    if role not in ROLES:
        raise refusal(where, role, " or ".join(map(repr, ROLES)))
    return str(role)


def _content(given: Mapping[str, Any], role: str, path: str) -> str:
    value = given.get("content")
    if value is None and role == "assistant":
        return ""
    if "content" not in given:
        raise InvalidRequest(f"{path}: is missing", param=path)
    if isinstance(value, str):
        return value
    if not is_array(value):
        raise refusal(path, value, "a string or an array of text parts")
    return "\n".join(_part(part, f"{path}[{i}]") for i, part in enumerate(value))


def _part(value: object, path: str) -> str:
    part = _object(value, path)
    kind = part.get("type")
    if isinstance(kind, str) and kind != "text":
        where = f"{path}.type"
        raise UnsupportedParameter(f"{where}: {kind[:40]!r} parts are not supported here, only 'text'", param=where)
    if kind is None:
        raise InvalidRequest(f"{path}.type: is missing", param=f"{path}.type")
    if kind != "text":
        raise refusal(f"{path}.type", kind, "'text'")
    return _text(part.get("text"), f"{path}.text")


def _call(value: object, path: str) -> dict[str, Any]:
    call = _object(value, path)
    if call.get("type", "function") != "function":
        where = f"{path}.type"
        raise UnsupportedParameter(f"{where}: only 'function' is supported", param=where)
    function = _object(call.get("function"), f"{path}.function")
    read: dict[str, Any] = {
        "type": "function",
        "function": {
            "name": _text(function.get("name"), f"{path}.function.name"),
            "arguments": _text(function.get("arguments"), f"{path}.function.arguments"),
        },
    }
    if call.get("id") is not None:
        read["id"] = _text(call["id"], f"{path}.id")
    return read


def _object(value: object, path: str) -> Mapping[str, Any]:
    if not is_object(value):
        raise refusal(path, value, "an object")
    return value


def _array(value: object, path: str) -> list[Any]:
    if not is_array(value):
        raise refusal(path, value, "an array")
    return value


def _text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise refusal(path, value, "a string")
    return value
