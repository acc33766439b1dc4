"""Whether the server is up, and what it is doing."""

import json

from aiohttp import web

from .context import GATEWAY
from .control import ask


async def health(_request: web.Request) -> web.Response:
    """GET /health: 200 as long as this process answers."""
    return web.Response(body=b'{"status":"ok"}', content_type="application/json")


async def status(request: web.Request) -> web.Response:
    """GET /: the state of the pool and of the store, for programs."""
    value = await ask(request.app[GATEWAY].client, "status")
    return web.Response(body=json.dumps(value).encode(), content_type="application/json")
