"""The native API under `/infsup/v1`: what operators and programs see and do that OpenAI's API has no word for."""

import json
from typing import Any

from aiohttp import web

from .context import CALLER, GATEWAY
from .control import ask

PREFIX = "/infsup/v1"
RELOAD_S = 60.0
"""New gateways have to start before a reload is over."""
_COMPLETION_IDS = ("chatcmpl-", "cmpl-")


def add_routes(router: web.UrlDispatcher) -> None:
    """Add the routes of this module."""
    for view in ("models", "instances", "jobs", "deaths"):
        router.add_get(f"{PREFIX}/{view}", _show)
    for deed in ("load", "unload", "reset"):
        router.add_post(f"{PREFIX}/models/{{model}}/{deed}", _change_model)
    router.add_delete(f"{PREFIX}/jobs/{{id}}", cancel_job)
    router.add_delete(f"{PREFIX}/instances/{{id}}", kill_instance)
    router.add_post(f"{PREFIX}/reload", reload)


async def ready(request: web.Request) -> web.Response:
    """GET /ready: 200 once blocking models are prepared and `min_instances` are up, else 503 and what is missing."""
    state = await ask(request.app[GATEWAY].client, "ready")
    return _json(state, status=200 if state["ready"] else 503)


async def _show(request: web.Request) -> web.Response:
    view = request.path.rpartition("/")[2]
    return _json({view: await ask(request.app[GATEWAY].client, view)})


async def _change_model(request: web.Request) -> web.Response:
    deed = request.path.rpartition("/")[2]
    return _json(await ask(request.app[GATEWAY].client, deed, model=request.match_info["model"]))


async def cancel_job(request: web.Request) -> web.Response:
    """DELETE jobs/{id}: end a job of the same caller, waiting or running. Raises `NotFound` for any other.

    The id is that of the header `X-Job-Id`, or of a completion (`chatcmpl-…`).
    """
    job = request.match_info["id"]
    for prefix in _COMPLETION_IDS:
        if job.startswith(prefix):
            job = f"job-{job.removeprefix(prefix)}"
    return _json(await ask(request.app[GATEWAY].client, "cancel", job=job, client=request[CALLER]))


async def kill_instance(request: web.Request) -> web.Response:
    """DELETE instances/{id}: end an instance at once. Raises `NotFound` and `Conflict`."""
    return _json(await ask(request.app[GATEWAY].client, "kill", instance=request.match_info["id"]))


async def reload(request: web.Request) -> web.Response:
    """POST reload: read the configuration again. Raises `InvalidRequest` for one with mistakes.

    The answer may come from a gateway that is on its way out: a reload may replace it.
    """
    return _json(await ask(request.app[GATEWAY].client, "reload", timeout=RELOAD_S))


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=json.dumps(value).encode(), status=status, content_type="application/json")
