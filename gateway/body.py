"""Request bodies: read up to a limit, then parsed as a JSON object."""

import json
from typing import Any, TypeGuard

import pydantic_core
from aiohttp import web

from infsup.protocol.errors import BodyTooLarge, InvalidRequest

_ENCODINGS = frozenset({"", "identity", "gzip", "deflate", "br", "zstd"})
"""What aiohttp decodes, or refuses itself where a package for it is missing. Others it would hand on as they are."""


async def read_object(request: web.Request, max_bytes: int) -> dict[str, Any]:
    """Return the body as a JSON object, whatever its content type says.

    Raises `BodyTooLarge`, without reading what is announced as too large, and `InvalidRequest` with the position of
    the first mistake.
    """
    return parse_object(await read_limited(request, max_bytes))


async def read_limited(request: web.Request, max_bytes: int) -> bytes | bytearray:
    """Read the body, chunked or not, compressed or not. Raises `BodyTooLarge` and `InvalidRequest`."""
    check_announced(request, max_bytes)
    if (encoding := request.headers.get("Content-Encoding", "").strip()).lower() not in _ENCODINGS:
        raise unknown_encoding(f'"{encoding[:80]}"')
    body = bytearray()
    try:
        while piece := await request.content.readany():
            body += piece
            if len(body) > max_bytes:
                raise BodyTooLarge(f"the body has more than the {max_bytes} bytes that are allowed")
    except web.RequestPayloadError as error:
        raise InvalidRequest(f"the body cannot be read: {http_mistake(str(error))}") from error
    return body


def unknown_encoding(found: str) -> InvalidRequest:
    """Return the error for a body in an encoding that cannot be undone here."""
    return InvalidRequest(
        f"Content-Encoding: found {found}, allowed are gzip, deflate and identity", param="Content-Encoding"
    )


def http_mistake(message: str) -> str:
    """Return the line of aiohttp's message that says what is wrong, without the bytes that it points at."""
    line = message.rpartition("message:\n")[2].strip().partition("\n")[0]
    return line.partition(": b'")[0].rstrip(" :.")[:200]


def check_announced(request: web.BaseRequest, max_bytes: int) -> None:
    """Raise `BodyTooLarge` if the Content-Length is over the limit."""
    size = request.content_length
    if size is not None and size > max_bytes:
        raise BodyTooLarge(f"the body has {size} bytes, allowed are {max_bytes}")


def parse_object(body: bytes | bytearray) -> dict[str, Any]:
    """Parse a JSON object. Raises `InvalidRequest`."""
    if not body.strip():
        raise InvalidRequest("the body is empty, expected is a JSON object")
    try:
        value: Any = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from error
    if not is_object(value):
        raise InvalidRequest(f"the body is a JSON {json_kind(value)}, expected is an object")
    return value


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Say whether a parsed JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Say whether a parsed JSON value is an array."""
    return isinstance(value, list)


def shown(value: object) -> str:
    """Show a value of a request in a message: its kind, and itself as JSON when it is short."""
    kind = json_kind(value)
    if value is None or isinstance(value, list | dict):
        return kind
    text = json.dumps(value, ensure_ascii=False)
    return f"the {kind} {text}" if len(text) <= 60 else f"a {kind} of {len(text)} characters"


def json_kind(value: object) -> str:
    """Name a parsed JSON value's type as JSON does."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"
