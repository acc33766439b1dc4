"""The loop around a batching engine, with an engine that does as its jobs' prompts say."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infsup.protocol.errors import InvalidRequest
from infsup.protocol.job import Job
from infsup.protocol.spec import ModelSpec
from infsup.protocol.wire import Kind, split, unpack_map
from infsup.workers.batch_runner import BatchRunner
from infsup.workers.desk import Desk
from infsup.workers.engine import (
    BatchEngine,
    EngineFatal,
    Event,
    JobCancelled,
    JobContext,
    ModelInfo,
    Piece,
    Report,
    Result,
)
from infsup.workers.progress import Progress

Last = Result | Exception


class Words(BatchEngine):
    """Says a word of each job's prompt a step. `on_step` is called before each."""

    tasks = frozenset({"text-completion"})
    capacity = 4

    def __init__(self) -> None:
        self.jobs: dict[str, tuple[Iterator[str], JobContext]] = {}
        self.steps: list[set[str]] = []
        self.on_step: Callable[[], object] = lambda: None

    def load(self, model: ModelSpec, report: Report) -> ModelInfo:
        return ModelInfo()

    def submit(self, job: Job, context: JobContext) -> None:
        words = str(job.params["prompt"]).split()
        if words == ["refuse"]:
            raise InvalidRequest("no")
        self.jobs[job.id] = iter(words), context

    def step(self) -> list[Event]:
        assert self.jobs
        self.on_step()
        self.steps.append(set(self.jobs))
        events = [Event(name, self._next(*job)) for name, job in self.jobs.items()]
        for event in events:
            if isinstance(event.what, Last):
                del self.jobs[event.job_id]
        return events

    def _next(self, words: Iterator[str], context: JobContext) -> Piece | Result | Exception:
        word = next(words, None)
        if context.cancelled:
            return JobCancelled()
        if word == "die":
            raise EngineFatal("dead")
        if word == "break":
            raise ZeroDivisionError("broken")
        if word == "fail":
            return ValueError("failed")
        return Result({"choices": []}) if word is None else Piece({"text": word if word != "odd" else object()})


class Bench:
    """A desk, a runner, and what it sends."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.desk = Desk(self.progress)
        self.engine = Words()
        self.sent: list[tuple[str, Kind, Any]] = []
        self._accepted: set[str] = set()
        self.runner = BatchRunner(self.engine, "words", self.desk, progress=self.progress, send=self._send)

    def _send(self, frames: list[bytes]) -> None:
        packet = split(frames)
        self.sent.append((packet.key, packet.kind, unpack_map(packet.body) if packet.body else {}))

    def accept(self, name: str, prompt: str, task: str = "text-completion") -> None:
        self._accepted.add(name)
        self.desk.accept(Job(name, "m", task, {"prompt": prompt}))

    def said(self, name: str) -> list[Any]:
        return [body["text"] if kind is Kind.CHUNK else kind for key, kind, body in self.sent if key == name]

    def run(self) -> None:
        """Serve what was accepted, then end."""
        inner = self.engine.on_step

        def on_step() -> None:
            inner()
            if self._accepted <= self.engine.jobs.keys() | {key for key, _, _ in self.sent}:
                self.desk.drain()  # those that wait would be bounced

        self.engine.on_step = on_step
        self.runner.run()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_batch_runner_jobs_run_together_and_end_each_in_its_time(bench: Bench) -> None:
    bench.accept("a", "one two")
    bench.accept("b", "x")
    bench.run()
    assert bench.said("a") == ["one", "two", Kind.DONE]
    assert bench.said("b") == ["x", Kind.DONE]
    assert bench.engine.steps == [{"a", "b"}, {"a", "b"}, {"a"}]
    assert bench.progress.current_phase == "idle"


def test_batch_runner_new_jobs_join_between_steps(bench: Bench) -> None:
    bench.accept("a", "1 2 3")
    arrivals = iter(["b"])
    bench.engine.on_step = lambda: [bench.accept(name, "late") for name in arrivals]
    bench.run()
    assert bench.engine.steps[:2] == [{"a"}, {"a", "b"}]
    assert bench.said("b") == ["late", Kind.DONE]


@pytest.mark.parametrize("prompt", ["refuse", "fail", "1 fail", "odd"])
def test_batch_runner_failure_of_one_job_is_only_its_own(bench: Bench, prompt: str) -> None:
    bench.accept("bad", prompt)
    bench.accept("good", "1 2 3 4")
    bench.run()
    assert bench.said("bad")[-1] is Kind.FAILED
    assert bench.said("bad").count(Kind.FAILED) == 1
    assert bench.said("good") == ["1", "2", "3", "4", Kind.DONE]


def test_batch_runner_task_that_the_model_lacks_is_refused(bench: Bench) -> None:
    bench.accept("bad", "x", task="embedding")
    bench.accept("good", "x")
    bench.run()
    assert bench.sent[0][2]["code"] == "unsupported_task"
    assert bench.said("good") == ["x", Kind.DONE]


def test_batch_runner_cancelled_job_ends_and_the_others_go_on(bench: Bench) -> None:
    bench.accept("a", "1 2 3 4 5")
    bench.accept("b", "1 2 3")
    calls = iter(range(10))
    bench.engine.on_step = lambda: bench.desk.cancel("a") if next(calls) == 2 else None
    bench.run()
    assert bench.said("a") == ["1", "2", Kind.CANCELLED]
    assert bench.said("b") == ["1", "2", "3", Kind.DONE]


def test_batch_runner_broken_step_fails_all_jobs_and_ends_the_worker(bench: Bench) -> None:
    bench.accept("a", "1 break")
    bench.accept("b", "1 2 3")
    with pytest.raises(EngineFatal, match="ZeroDivisionError"):
        bench.run()
    assert [bench.said(name)[-1] for name in "ab"] == [Kind.FAILED, Kind.FAILED]


def test_batch_runner_fatal_error_passes_through(bench: Bench) -> None:
    bench.accept("a", "1 die")
    with pytest.raises(EngineFatal, match="dead"):
        bench.run()


def test_batch_engine_run_alone_is_a_generator_of_its_job() -> None:
    engine, context = Words(), JobContext(Progress())
    *pieces, last = engine.run(Job("a", "m", "text-completion", {"prompt": "x y"}), context)
    assert [piece.data["text"] for piece in pieces] == ["x", "y"]
    assert isinstance(last, Result)
    dropped = engine.run(Job("a", "m", "text-completion", {"prompt": "x y"}), context)
    next(dropped)
    del dropped
    assert engine.jobs == {}
