"""What happens around every handler: request ids, who may call, errors as JSON."""

import logging
import re
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web

from infsup.protocol.errors import InfsupError

from .context import CALLER, GATEWAY, JOB_IDS, REQUEST_ID
from .errors import error_response, from_http_exception

_LOG = logging.getLogger("infsup.gateway")
_OPEN_PATHS = frozenset({"/health", "/ready"})
_SANE_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error in OpenAI's shape. What is raised after the headers were sent only ends the connection."""
    request[REQUEST_ID] = request_id(request)
    try:
        return await handler(request)
    except InfsupError as error:
        _LOG.log(logging.WARNING if error.status >= 500 else logging.DEBUG, "%s", _line(request, error))
        return error_response(error)
    except web.HTTPException as exception:
        response = error_response(from_http_exception(request, exception))
        if "Allow" in exception.headers:
            response.headers["Allow"] = exception.headers["Allow"]
        return response
    except (ConnectionError, TimeoutError):
        raise  # the client is gone
    except Exception as exception:  # noqa: BLE001 - the edge: whatever a handler did wrong must not end in no answer
        _LOG.exception("%s %s (%s) failed", request.method, request.path, request[REQUEST_ID])
        return error_response(
            InfsupError(f"internal error of the gateway: {type(exception).__name__} (request {request[REQUEST_ID]})")
        )


@web.middleware
async def check_access(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Check where the request comes from and whose it is. Raises `Forbidden` and `InvalidApiKey`."""
    gateway = request.app[GATEWAY]
    origin = request.headers.get("Origin")
    gateway.origins.check(request.method, origin, request.headers.get("Host", ""))
    if request.method == "OPTIONS" and origin is not None and "Access-Control-Request-Method" in request.headers:
        return web.Response(status=204, headers=gateway.origins.preflight(request.headers))
    if request.path not in _OPEN_PATHS:
        request[CALLER] = gateway.keys.caller(request.headers.get("Authorization"), request.remote)
    return await handler(request)


async def complete_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add what every answer has: the request's id, the server's name, CORS headers where they apply."""
    gateway = request.app[GATEWAY]
    response.headers["x-request-id"] = request.get(REQUEST_ID) or request_id(request)
    if (jobs := request.get(JOB_IDS)) is not None:
        response.headers["x-job-id"] = jobs
    response.headers["Server"] = gateway.server_name
    response.headers.update(gateway.origins.headers(request.headers.get("Origin")))


def request_id(request: web.BaseRequest) -> str:
    """Return the id that the request brought along, if it is a sane one, else a new one."""
    given = request.headers.get("X-Request-Id", "")
    return given if _SANE_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"


def _line(request: web.Request, error: InfsupError) -> str:
    return f"{request.method} {request.path} ({request[REQUEST_ID]}): {error.code}: {error.message}"
