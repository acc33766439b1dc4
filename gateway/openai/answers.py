"""Running the jobs of a completion and answering with what they produce, streamed or whole."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from infsup.gateway.context import CALLER, GATEWAY, JOB_IDS
from infsup.gateway.jobs import JobGroup
from infsup.gateway.options import read_options
from infsup.gateway.sse import KEEP_ALIVE, EventStream, error_event
from infsup.protocol.client import JobHandle

from .params import wants_usage
from .prompts import locate_prompt
from .results import read_result
from .schemas import TextBody
from .shapes import Answer, Api, Pieces, whole
from .transcript import Transcript

KEEP_ALIVE_S = 10.0
"""Seconds of silence after which a stream gets a comment, so that no proxy thinks it dead."""

MOST_IDS = 16
"""Ids in the header `X-Job-Id`: a request with hundreds of prompts is not to make a header that proxies refuse."""

JobParams = tuple[dict[str, Any], tuple[bytes, ...]]
"""A job's parameters and the hash chain of its context."""


async def answer_with_jobs(
    request: web.Request, body: TextBody, api: Api, task: str, params: Sequence[JobParams]
) -> web.StreamResponse:
    """Submit one job for each entry of `params` and answer. Raises `InfsupError` as long as nothing was sent.

    However this is left, by the client's disconnection above all, jobs that still run are cancelled.
    """
    usage = wants_usage(body)
    locate = locate_prompt if len(params) > 1 else None
    async with JobGroup(await _submit(request, body, task, params), locate) as jobs:
        request[JOB_IDS] = ", ".join(handle.id for handle in jobs.handles[:MOST_IDS])
        answer = Answer(api, jobs.handles[0].id, body.model)
        if not body.stream:
            results = [read_result(result) for result in await jobs.results()]
            return web.Response(body=whole(answer, results, body.n), content_type="application/json")
        return await stream_jobs(request, jobs, Transcript(Pieces(answer, usage=usage), body.n, usage=usage))


async def _submit(request: web.Request, body: TextBody, task: str, params: Sequence[JobParams]) -> list[JobHandle]:
    options = read_options(dict(body), request.headers)
    return [
        await request.app[GATEWAY].client.submit(
            body.model,
            task,
            fields,
            stream=body.stream,
            client=request[CALLER],
            prefix=prefix,
            priority=options.priority,
            timeout=options.timeout,
            keep_alive=options.keep_alive,
            wait=options.wait,
        )
        for fields, prefix in params
    ]


async def stream_jobs(request: web.Request, jobs: JobGroup, transcript: Transcript) -> web.StreamResponse:
    """Send the events of these jobs as they come. Raises `InfsupError` as long as nothing was sent."""
    stream = EventStream(request)
    clock = asyncio.get_running_loop().time
    due = clock() + KEEP_ALIVE_S
    while jobs.running:
        data, error = transcript.write(await jobs.next(timeout=max(0.0, due - clock())))
        if error is not None:
            if not data and not stream.started:
                raise error
            return await stream.finish(data + error_event(error))
        if not data and clock() >= due:
            data = KEEP_ALIVE
        if data:
            await stream.send(data)
            due = clock() + KEEP_ALIVE_S
    return await stream.finish(transcript.ending())
