"""The main thread of a worker: loads the engine, then runs jobs until the desk is drained.

One job at a time is the rule; engines that say `concurrent` get a thread for each of their `capacity` places, and a
`BatchEngine` has a runner of its own, on the main thread.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, NoReturn

from infsup.protocol.errors import EngineFailure, InfsupError, OutOfMemory, UnsupportedTask
from infsup.protocol.messages import Loaded, LoadOrder, encode
from infsup.protocol.spec import ModelSpec
from infsup.protocol.wire import Kind, Packet, WireError, join

from .batch_runner import BatchRunner
from .desk import Desk, Ticket
from .engine import BatchEngine, Engine, EngineFatal, JobCancelled, LinkUser, ModelInfo, Piece, Result
from .link import Link
from .output import JobOutput, error_packet
from .process import EXIT_FATAL, leave_now
from .progress import Progress
from .registry import EngineEntry, create_engine, find_engine, missing_package
from .tasks import check_task, listed

log = logging.getLogger("infsup.worker")


class Runner:
    """Owns the engine from its load to its end."""

    def __init__(self, link: Link, desk: Desk, progress: Progress) -> None:
        """`link` carries the answers, `desk` has the jobs, `progress` goes to the engine as its report."""
        self._link = link
        self._desk = desk
        self._progress = progress
        self._outputs: dict[str, JobOutput] = {}
        link.on_beat = lambda: _flush(list(self._outputs.values()))

    def serve(self, order: LoadOrder) -> int:
        """Load, run jobs until drained, close. Returns the exit status; an `EngineFatal` ends the process here."""
        spec = order.model
        started = time.monotonic()
        try:
            engine, info = self._load(spec)
            loaded = _loaded_packet(engine, info, time.monotonic() - started)
        except InfsupError as error:
            log.error("loading %s failed: %s", spec.name, error.message)  # noqa: TRY400 - not a bug of ours
            self._link.send(join(error_packet(Kind.LOAD_FAILED, "", error)))
            return 1
        try:
            self._link.ready = True
            self._progress.phase("idle")
            self._link.send(join(loaded))
            self._run_jobs(engine, spec.engine)
        finally:
            self._close(engine)
        return 0

    def _load(self, spec: ModelSpec) -> tuple[Engine, ModelInfo]:
        entry = find_engine(spec.engine)
        _check_task(spec, entry.tasks or frozenset({spec.task}))
        try:
            engine = create_engine(entry)
            if isinstance(engine, LinkUser):
                engine.attach_link(self._link)
            info = engine.load(spec, self._progress)
            _check_task(spec, engine.tasks)
        except EngineFatal as error:
            self._end_process(error)
        except InfsupError:
            raise
        except Exception as error:
            log.exception("the engine %s failed to load", spec.engine)
            raise _load_error(entry, spec, error) from error
        return engine, info

    def _run_jobs(self, engine: Engine, name: str) -> None:
        if isinstance(engine, BatchEngine):
            self._run_batches(engine, name)
            return
        if _places(engine) == 1:
            self._run_serially(engine, name)
            return
        threads = [
            threading.Thread(target=self._run_serially, args=(engine, name), name=f"infsup-job-{place}", daemon=True)
            for place in range(_places(engine))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _run_batches(self, engine: BatchEngine, name: str) -> None:
        runner = BatchRunner(engine, name, self._desk, progress=self._progress, send=self._link.send)
        self._link.on_beat = lambda: _flush(runner.outputs)
        try:
            runner.run()
        except EngineFatal as error:
            self._end_process(error)

    def _run_serially(self, engine: Engine, name: str) -> None:
        while (ticket := self._desk.take()) is not None:
            output = JobOutput(ticket.job, self._link.send)
            self._outputs[ticket.job.id] = output
            try:
                self._run_job(engine, name, ticket, output)
            finally:
                self._progress.context_used = engine.context_used
                del self._outputs[ticket.job.id]
                if self._desk.finish(ticket.job.id):
                    self._progress.phase("idle")

    def _run_job(self, engine: Engine, name: str, ticket: Ticket, output: JobOutput) -> None:
        try:
            output.done(self._drive(engine, name, ticket, output))
        except EngineFatal as error:
            self._end_process(error)
        except Exception as error:  # noqa: BLE001 - an engine may raise anything, and the next job is to run
            output.ended_by(error, name)

    def _drive(self, engine: Engine, name: str, ticket: Ticket, output: JobOutput) -> Mapping[str, Any]:
        job, context = ticket.job, ticket.context
        check_task(engine, job)
        context.check()
        self._progress.phase("prefill")
        with _closing(engine.run(job, context)) as events:
            for event in events:
                if isinstance(event, Result):
                    if context.cancelled:
                        break
                    return event.data
                context.check()
                self._note_piece(engine)
                output.piece(event.data)
        if context.cancelled:
            raise JobCancelled
        raise EngineFailure(f"{name}: the engine ended without a result")

    def _note_piece(self, engine: Engine) -> None:
        # For engines that say nothing themselves: a piece is progress, and the prompt has been read.
        self._progress.progress()
        self._progress.context_used = engine.context_used
        if self._progress.current_phase == "prefill":
            self._progress.phase("decode")

    def _end_process(self, error: EngineFatal) -> NoReturn:
        log.critical("the engine is beyond repair: %s", error, exc_info=error)
        self._link.on_beat()
        self._link.close()
        leave_now(EXIT_FATAL)

    def _close(self, engine: Engine) -> None:
        try:
            engine.close()
        except Exception:
            log.exception("closing the engine failed")


def _flush(outputs: Iterable[JobOutput]) -> None:
    for output in outputs:
        try:
            output.flush()
        except InfsupError as error:  # in the link's thread; the job itself goes on
            log.warning("a piece was dropped: %s", error)


def _places(engine: Engine) -> int:
    return max(1, engine.capacity) if engine.concurrent or isinstance(engine, BatchEngine) else 1


def _loaded_packet(engine: Engine, info: ModelInfo, seconds: float) -> Packet:
    facts = {**info.facts, "context_size": info.context_size}
    try:
        return encode(Loaded(tuple(sorted(engine.tasks)), _places(engine), info.device, facts, seconds))
    except WireError as error:
        raise EngineFailure(f"what the engine says of the model {error}") from error


def _check_task(spec: ModelSpec, tasks: frozenset[str]) -> None:
    if spec.task not in tasks:
        raise UnsupportedTask(
            f"task: found {spec.task!r} for the model {spec.name!r}, with this file the engine {spec.engine} serves "
            f"{listed(tasks)}",
            param="task",
        )


def _load_error(entry: EngineEntry, spec: ModelSpec, error: Exception) -> InfsupError:
    if isinstance(error, ModuleNotFoundError):
        return missing_package(entry, error)
    if isinstance(error, MemoryError):
        return OutOfMemory(f"{spec.engine}: not enough memory to load {spec.name}: {error or 'MemoryError'}")
    return EngineFailure(f"{spec.engine}: {type(error).__name__}: {error}")


@contextlib.contextmanager
def _closing(events: Iterator[Piece | Result]) -> Generator[Iterator[Piece | Result]]:
    # An engine may return any iterator; a generator has to be closed here and now, not by the garbage collector.
    try:
        yield events
    finally:
        close = getattr(events, "close", None)
        if close is not None:
            close()
