"""Errors as HTTP answers."""

import json
import math

from aiohttp import web

from infsup.protocol.errors import BodyTooLarge, InfsupError, InvalidRequest, MethodNotAllowed, NotFound

DEFAULT_RETRY_S = 1.0
_REASONS = {499: "Client Closed Request"}
_SDK_RETRIES = frozenset({408, 409, 429})


def error_response(error: InfsupError) -> web.Response:
    """Return the OpenAI-shaped answer, with what its headers have to say to clients that retry by themselves."""
    return web.Response(
        status=error.status,
        reason=_REASONS.get(error.status),
        body=json.dumps(error.to_body()).encode(),
        content_type="application/json",
        headers=error_headers(error),
    )


def error_headers(error: InfsupError) -> dict[str, str]:
    """Return `Retry-After` (whole seconds) and `x-should-retry`, which the OpenAI clients obey, where they apply."""
    headers: dict[str, str] = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    wait = error.retry_after
    if wait is None and error.status in {429, 503}:
        wait = DEFAULT_RETRY_S
    if error.retryable and wait is not None:
        headers["Retry-After"] = str(max(1, math.ceil(wait)))
    retried_by_clients = error.status in _SDK_RETRIES or error.status >= 500
    if error.final or (retried_by_clients and not error.retryable):
        headers["x-should-retry"] = "false"
    return headers


def from_http_exception(request: web.BaseRequest, exception: web.HTTPException) -> InfsupError:
    """Translate what aiohttp raises: no such route, wrong method, body too large and the rest."""
    match exception:
        case web.HTTPNotFound():
            return NotFound(f"there is nothing at {request.path[:200]!r}")
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(exception.allowed_methods))
            return MethodNotAllowed(
                f"{exception.method} is not allowed at {request.path[:200]!r}, allowed is {allowed}"
            )
        case web.HTTPRequestEntityTooLarge():
            return BodyTooLarge("the body is too large")
        case _ if exception.status < 500:
            return InvalidRequest(exception.reason)
        case _:
            return InfsupError(exception.reason)
