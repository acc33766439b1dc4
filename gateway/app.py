"""The web application: which path goes to which handler, and what happens around every one of them."""

from aiohttp import web

from infsup.protocol.errors import InfsupError, InvalidRequest

from . import native
from .body import check_announced
from .context import GATEWAY, Gateway
from .errors import error_response
from .middleware import answer_errors, check_access, complete_headers
from .openai import handlers
from .status import health, status

OPENAI_PREFIXES = ("/v1", "/openai/v1")


def make_app(gateway: Gateway) -> web.Application:
    """Return the application. Bodies are read by handlers, with the limit of the settings."""
    app = web.Application(middlewares=[answer_errors, check_access])
    app[GATEWAY] = gateway
    app.on_response_prepare.append(complete_headers)
    app.router.add_get("/health", health)
    app.router.add_get("/ready", native.ready)
    app.router.add_get("/", status)
    native.add_routes(app.router)
    for prefix in OPENAI_PREFIXES:
        app.router.add_get(f"{prefix}/models", handlers.list_models)
        app.router.add_get(f"{prefix}/models/{{id:.+}}", handlers.get_model)
        app.router.add_post(f"{prefix}/chat/completions", handlers.chat_completions, expect_handler=_on_expect)
        app.router.add_post(f"{prefix}/completions", handlers.completions, expect_handler=_on_expect)
    return app


async def _on_expect(request: web.Request) -> web.StreamResponse | None:
    """Answer `Expect: 100-continue`: a body that is announced as too large need not be sent."""
    try:
        if request.headers["Expect"].lower() != "100-continue":
            raise InvalidRequest(f"Expect: found {request.headers['Expect'][:80]!r}, allowed is '100-continue'")
        check_announced(request, request.app[GATEWAY].settings.max_body)
    except InfsupError as error:
        response = error_response(error)
        response.force_close()
        return response
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return None
