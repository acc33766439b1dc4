"""Chat messages: from an untrusted list to the maps that chat templates expect."""

import json
import re
from collections.abc import Mapping
from typing import Any

from infsup.protocol.errors import UnsupportedParameter

from .checks import is_list, is_map, read_list, read_map, read_text, refusal

Message = dict[str, Any]
"""`role` and `content`, both str and always there; where given `tool_calls` and the texts of `_TEXTS`."""

_ROLE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_TEXTS = ("name", "tool_call_id", "reasoning_content")


def read_messages(value: object, name: str = "messages") -> tuple[Message, ...]:
    """Check a conversation. Raises `InvalidRequest` or `UnsupportedParameter` naming the path."""
    entries = read_list(value, name)
    if not entries:
        raise refusal(name, entries, "a list of at least one message")
    return tuple(_read_message(entry, f"{name}[{i}]") for i, entry in enumerate(entries))


def _read_message(value: object, path: str) -> Message:
    given = read_map(value, path)
    role = read_text(given.get("role"), f"{path}.role")
    if not _ROLE.fullmatch(role):
        raise refusal(f"{path}.role", role, "a name of 1 to 64 of A-Z a-z 0-9 _ . : -")
    message: Message = {"role": role, "content": _read_content(given, role, path)}
    for name, entry in given.items():
        if entry is None or entry == [] or name in {"role", "content"}:
            continue
        if name in _TEXTS:
            message[name] = read_text(entry, f"{path}.{name}")
        elif name == "tool_calls":
            calls = read_list(entry, f"{path}.tool_calls")
            message[name] = [_read_call(call, f"{path}.tool_calls[{i}]") for i, call in enumerate(calls)]
        else:
            raise UnsupportedParameter(f"{path}.{name} is not supported", param=f"{path}.{name}")
    return message


def _read_content(given: Mapping[str, Any], role: str, path: str) -> str:
    value, name = given.get("content"), f"{path}.content"
    if value is None and role == "assistant":
        return ""
    if is_list(value):
        return "\n".join(_read_part(part, f"{name}[{i}]") for i, part in enumerate(read_list(value, name)))
    if not isinstance(value, str):
        raise refusal(name, value, "text or a list of text parts")
    return read_text(value, name)


def _read_part(value: object, path: str) -> str:
    part = read_map(value, path)
    kind = read_text(part.get("type"), f"{path}.type")
    if kind != "text":
        raise UnsupportedParameter(f"{path}.type: {kind[:40]!r} parts are not supported, only 'text'", param=path)
    return read_text(part.get("text"), f"{path}.text")


def _read_call(value: object, path: str) -> dict[str, Any]:
    call = read_map(value, path)
    function = read_map(call.get("function"), f"{path}.function")
    name = read_text(function.get("name"), f"{path}.function.name")
    arguments = function.get("arguments", "{}")
    if is_map(arguments):
        arguments = read_map(arguments, f"{path}.function.arguments")
    else:
        arguments = _parsed(read_text(arguments, f"{path}.function.arguments"))
    read: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": arguments}}
    if call.get("id") is not None:
        read["id"] = read_text(call["id"], f"{path}.id")
    return read


def _parsed(arguments: str) -> Any:
    """Return the object that the text holds: templates serialise it themselves, and would quote text twice."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    return value if is_map(value) else arguments
