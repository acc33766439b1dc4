"""The engine that misbehaves on order: it echoes, and a prompt that begins with `!` tells it what to do.

It needs no model and no library, so it is also the quickest way to see a server at work.
"""

import hashlib
import math
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from infsup.protocol.errors import EngineFailure
from infsup.protocol.job import Job
from infsup.protocol.spec import ModelSpec
from infsup.workers.engine import (
    Engine,
    EngineFatal,
    JobContext,
    ModelInfo,
    Piece,
    RawLink,
    Report,
    Result,
)
from infsup.workers.process import ignore_sigterm, leave_now

from . import fault_deeds as deeds
from .fault_options import FaultOptions, read_options
from .fault_orders import (
    Abort,
    Crash,
    Error,
    Exit,
    Freeze,
    Garbage,
    Gil,
    Hang,
    Leak,
    Oom,
    Order,
    Oversize,
    Segfault,
    Sleep,
    parse_order,
)
from .fault_params import Request, read_request
from .fault_plan import Plan, limit, make_plan

PROGRESS_SECONDS = 0.1
"""How often healthy waiting counts as progress."""
FLUSH_SECONDS = 1.0
"""How long a deed waits for what was said before it to arrive."""


class FaultEngine(Engine):
    """Serves text, chat and embedding; see `fault_orders` for the language and `fault_options` for the options."""

    tasks = frozenset({"text-completion", "chat-completion", "embedding"})
    concurrent = True

    def __init__(self) -> None:
        """Nothing is taken before `load`."""
        self._options = FaultOptions()
        self._defaults: Mapping[str, Any] = {}
        self._kept: list[bytes] = []
        self._link: RawLink | None = None

    def attach_link(self, link: RawLink) -> None:
        """Take the socket on which `!garbage` is sent."""
        self._link = link

    def load(self, model: ModelSpec, report: Report) -> ModelInfo:
        """Do what the options say. Raises `InvalidRequest` for options that do not exist."""
        options = self._options = read_options(model.options)
        self._defaults = model.defaults
        self.capacity = options.capacity
        if options.ignore_sigterm:
            ignore_sigterm()
        self._spend(options.load_delay, report)
        if options.load_order_file and (order := deeds.take_order(Path(options.load_order_file))):
            self._do(parse_order(order), "", lambda seconds: self._spend(seconds, report))
        if options.load_fail:
            raise EngineFailure(options.load_fail)
        if options.load_crash:
            deeds.die_of_segfault()
        if options.memory:
            self._kept.append(deeds.allocate(options.memory))
        return ModelInfo(model.context_size, "gpu" if model.device.gpu else "cpu", {"architecture": "fault"})

    def run(self, job: Job, context: JobContext) -> Iterator[Piece | Result]:
        """Echo or obey. Raises `InvalidRequest` for a malformed order."""
        request = read_request(job.task, {**self._defaults, **job.params})
        plan = make_plan(parse_order(request.prompt), request.prompt, self._options.token_delay)
        plan = limit(plan, request.max_tokens, request.stops)
        pause = Pause(context, heed_cancel=not self._options.ignore_cancel)
        context.phase("decode")
        steps = self._steps(job, request, plan, pause)
        return _to_the_end(steps) if self._options.ignore_cancel else steps

    def _steps(self, job: Job, request: Request, plan: Plan, pause: "Pause") -> Iterator[Piece | Result]:
        said: list[str] = []
        for piece in plan.before:
            yield from self._say(piece, said, request, plan, pause)
        if plan.deed is not None:
            if said and self._link is not None:
                self._link.round_trip(FLUSH_SECONDS)  # it has been said only when it has arrived
            self._do(plan.deed, job.id, pause.work)
        for piece in plan.after:
            yield from self._say(piece, said, request, plan, pause)
        usage = {"prompt_tokens": request.prompt_tokens, "completion_tokens": len(said)}
        if request.texts is not None:
            vectors = [hash_vector(text) for text in request.texts]
            yield Result({"embeddings": vectors, "usage": {**usage, "completion_tokens": 0}})
            return
        choice = {"index": 0, "text": "".join(said), "finish_reason": plan.reason}
        yield Result({"choices": [choice], "usage": usage})

    def _say(
        self, piece: str, said: list[str], request: Request, plan: Plan, pause: "Pause"
    ) -> Iterator[Piece | Result]:
        if said:
            pause.wait(plan.delay)
        said.append(piece)
        if request.texts is None:
            data: dict[str, Any] = {"text": piece, "tokens": 1, "index": 0}
            yield Piece(data if len(said) > 1 else {**data, "prompt_tokens": request.prompt_tokens})

    def _do(self, deed: Order, job_id: str, work: Callable[[float], None]) -> None:  # noqa: C901, PLR0912 - one line for each deed
        match deed:
            case Sleep(seconds):
                work(seconds)
            case Exit(status):
                leave_now(status)
            case Crash():
                raise EngineFatal("a crash was ordered")
            case Segfault():
                deeds.die_of_segfault()
            case Abort():
                os.abort()
            case Oom():
                deeds.die_of_sigkill()
            case Error(text):
                raise EngineFailure(text)
            case Hang():
                deeds.hang()
            case Freeze():
                deeds.freeze()
            case Gil(seconds):
                deeds.hold_gil(seconds)
            case Leak(megabytes):
                self._kept.append(deeds.allocate(int(megabytes * 1e6)))
            case Garbage():
                self._send(deeds.malformed_messages(job_id))
            case Oversize():
                self._send(deeds.oversize_messages())
            case _:  # what is only said
                pass

    def _send(self, messages: list[list[bytes]]) -> None:
        if self._link is None:
            raise EngineFailure("this engine was given no link to send garbage on")
        for frames in messages:
            self._link.send(frames)

    @staticmethod
    def _spend(seconds: float, report: Report) -> None:
        until = time.monotonic() + seconds
        while (rest := until - time.monotonic()) > 0:
            time.sleep(min(rest, PROGRESS_SECONDS))
            report.progress()


class Pause:
    """Waiting inside a job, ended at once when the job is cancelled or its deadline passes (unless told otherwise)."""

    def __init__(self, context: JobContext, *, heed_cancel: bool) -> None:
        """Listen to the context's cancellation."""
        self._context = context
        self._heed = heed_cancel
        self._cancelled = threading.Event()
        if heed_cancel:
            context.on_cancel(self._cancelled.set)

    def wait(self, seconds: float) -> None:
        """Wait. Raises `JobCancelled`."""
        deadline = self._context.deadline if self._heed else None
        if deadline is not None:
            seconds = min(seconds, max(0.0, deadline - time.monotonic()))
        if seconds > 0:
            self._cancelled.wait(seconds)
        if self._heed:
            self._context.check()

    def work(self, seconds: float) -> None:
        """Wait, counting progress. Raises `JobCancelled`."""
        until = time.monotonic() + seconds
        while (rest := until - time.monotonic()) > 0:
            self.wait(min(rest, PROGRESS_SECONDS))
            self._context.progress()


def hash_vector(text: str) -> list[float]:
    """Return eight numbers that depend on the text alone, a vector of length 1."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    numbers = [value / 2**31 - 1.0 for value in struct.unpack("<8I", digest)]
    length = math.hypot(*numbers) or 1.0
    return [number / length for number in numbers]


def _to_the_end(steps: Iterator[Piece | Result]) -> Iterator[Piece | Result]:
    """Pass the steps on; when closed early, go through the rest all the same, unheard."""
    for step in steps:
        try:
            yield step
        except GeneratorExit:
            for _ in steps:
                pass
            raise
