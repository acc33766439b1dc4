"""The handlers of the OpenAI-compatible calls."""

import json
from typing import Any

from aiohttp import web

from infsup.gateway.body import read_object
from infsup.gateway.context import GATEWAY
from infsup.gateway.control import ask
from infsup.gateway.prefix import chat_chain, prompt_chain
from infsup.protocol.errors import ModelNotFound

from .answers import answer_with_jobs
from .params import chat_params, completion_params
from .schemas import ChatBody, CompletionBody
from .shapes import Api
from .validation import read_body


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """POST chat/completions."""
    body = read_body(ChatBody, await read_object(request, request.app[GATEWAY].settings.max_body))
    params = chat_params(body)
    return await answer_with_jobs(
        request, body, Api.CHAT, "chat-completion", [(params, chat_chain(params["messages"], params.get("tools", ())))]
    )


async def completions(request: web.Request) -> web.StreamResponse:
    """POST completions. Several prompts are several jobs."""
    body = read_body(CompletionBody, await read_object(request, request.app[GATEWAY].settings.max_body))
    jobs = [(params, prompt_chain(params["prompt"])) for params in completion_params(body)]
    return await answer_with_jobs(request, body, Api.TEXT, "text-completion", jobs)


async def list_models(request: web.Request) -> web.Response:
    """GET models."""
    return _answer({"object": "list", "data": [_card(model) for model in await _models(request)]})


async def get_model(request: web.Request) -> web.Response:
    """GET models/{id}; an alias gives the model that it stands for. Raises `ModelNotFound`."""
    name = request.match_info["id"]
    for model in await _models(request):
        if name == model["id"] or name in model.get("aliases", ()):
            return _answer(_card(model))
    raise ModelNotFound(
        f"there is no model {name[:200]!r}; GET {request.path.partition('/models')[0]}/models lists them"
    )


async def _models(request: web.Request) -> list[dict[str, Any]]:
    models: list[dict[str, Any]] = await ask(request.app[GATEWAY].client, "models")
    return models


def _card(model: dict[str, Any]) -> dict[str, Any]:
    return {**model, "object": "model", "owned_by": "infsup", "created": int(model.get("created", 0))}


def _answer(value: object) -> web.Response:
    return web.Response(body=json.dumps(value).encode(), content_type="application/json")
