"""The main thread of a worker: loads the engine, then runs jobs until the desk is drained.

A runner is a function that takes tickets until there are none; `run_jobs` chooses it. One at a time is the rule;
engines that say `concurrent` get a thread for each of their `capacity` places.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from typing import Any, NoReturn

from infsup.protocol.errors import EngineFailure, InfsupError, OutOfMemory, UnsupportedTask
from infsup.protocol.messages import Loaded, LoadOrder, encode
from infsup.protocol.spec import ModelSpec
from infsup.protocol.wire import Kind, Packet, WireError, join

from .desk import Desk, Ticket
from .engine import Engine, EngineFatal, JobCancelled, LinkUser, ModelInfo, Piece, Result
from .link import Link
from .output import JobOutput, error_packet
from .process import EXIT_FATAL, leave_now
from .progress import Progress
from .registry import EngineEntry, create_engine, find_engine, missing_package

log = logging.getLogger("infsup.worker")


class Runner:
    """Owns the engine from its load to its end."""

    def __init__(self, link: Link, desk: Desk, progress: Progress) -> None:
        """`link` carries the answers, `desk` has the jobs, `progress` goes to the engine as its report."""
        self._link = link
        self._desk = desk
        self._progress = progress
        self._outputs: dict[str, JobOutput] = {}
        link.on_beat = self._flush_outputs

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
        except JobCancelled:
            output.cancelled()
        except InfsupError as error:
            output.failed(error)
        except EngineFatal as error:
            self._end_process(error)
        except Exception as error:
            log.exception("job %s failed", ticket.job.id)
            output.failed(EngineFailure(f"{name}: {type(error).__name__}: {error}"))

    def _drive(self, engine: Engine, name: str, ticket: Ticket, output: JobOutput) -> Mapping[str, Any]:
        job, context = ticket.job, ticket.context
        if job.task not in engine.tasks:
            raise UnsupportedTask(
                f"task: found {job.task!r}, the model {job.model!r} serves {_listed(engine.tasks)}", param="task"
            )
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

    def _flush_outputs(self) -> None:
        for output in list(self._outputs.values()):
            try:
                output.flush()
            except InfsupError as error:  # in the link's thread; the job itself goes on
                log.warning("a piece was dropped: %s", error)

    def _end_process(self, error: EngineFatal) -> NoReturn:
        log.critical("the engine is beyond repair: %s", error, exc_info=error)
        self._flush_outputs()
        self._link.close()
        leave_now(EXIT_FATAL)

    def _close(self, engine: Engine) -> None:
        try:
            engine.close()
        except Exception:
            log.exception("closing the engine failed")


def _places(engine: Engine) -> int:
    return max(1, engine.capacity) if engine.concurrent else 1


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
            f"{_listed(tasks)}",
            param="task",
        )


def _load_error(entry: EngineEntry, spec: ModelSpec, error: Exception) -> InfsupError:
    if isinstance(error, ModuleNotFoundError):
        return missing_package(entry, error)
    if isinstance(error, MemoryError):
        return OutOfMemory(f"{spec.engine}: not enough memory to load {spec.name}: {error or 'MemoryError'}")
    return EngineFailure(f"{spec.engine}: {type(error).__name__}: {error}")


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


@contextlib.contextmanager
def _closing(events: Iterator[Piece | Result]) -> Generator[Iterator[Piece | Result]]:
    # An engine may return any iterator; a generator has to be closed here and now, not by the garbage collector.
    try:
        yield events
    finally:
        close = getattr(events, "close", None)
        if close is not None:
            close()
