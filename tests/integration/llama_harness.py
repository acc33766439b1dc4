"""Drives the engine `llama-cpp` without a worker around it: several jobs at once, on the tiny model."""

import contextlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infsup.protocol.job import Job
from infsup.protocol.spec import ModelSpec
from infsup.workers.engine import JobContext, Piece, Result
from infsup.workers.engines.llama_cpp import LlamaCppEngine
from infsup.workers.engines.llama_cpp_context import LlamaContext

ROOT = Path(__file__).parents[2]
TINY = ROOT / "workers" / "models" / "tiny.f16.gguf"


class Quiet:
    """A report that keeps what it is told."""

    def __init__(self) -> None:
        self.count = 0
        self.phases: list[str] = []

    def progress(self, amount: int = 1) -> None:
        self.count += amount

    def phase(self, name: str) -> None:
        self.phases.append(name)


def as_written(choice: Mapping[str, Any]) -> str:
    """The answer as the model wrote it, its calls in the tiny model's own format."""
    calls = [
        f'<tool_call>\n{{"name": "{call["name"]}", "arguments": {call["arguments"]}}}\n</tool_call>'
        for call in choice.get("tool_calls", ())
    ]
    return "\n".join([choice["text"]] * bool(choice["text"]) + calls)


@dataclass
class Going:
    """A job and what was said of it so far; `last` is its result or its error."""

    context: JobContext
    pieces: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    last: Mapping[str, Any] | Exception | None = None

    @property
    def result(self) -> Mapping[str, Any]:
        assert isinstance(self.last, Mapping), self.last
        return self.last

    @property
    def text(self) -> str:
        """The text, which is that of the pieces."""
        choice = self.result["choices"][0]
        assert "".join(piece["text"] for piece in self.pieces if piece["index"] == 0) == choice["text"]
        return str(choice["text"])

    @property
    def usage(self) -> Mapping[str, int]:
        usage: Mapping[str, int] = self.result["usage"]
        return usage


class Driver:
    """Owns an engine and the jobs that were submitted to it."""

    def __init__(self, engine: LlamaCppEngine) -> None:
        self.engine = engine
        self.report = Quiet()
        self.running: dict[str, Going] = {}
        self._count = 0

    @property
    def context(self) -> LlamaContext:
        """The engine's context, for tests that have it fail."""
        context: LlamaContext = vars(self.engine)["_loaded"].context
        return context

    def submit(self, **params: Any) -> Going:
        task = "chat-completion" if "messages" in params else "text-completion"
        going = Going(JobContext(self.report))
        self._count += 1
        job = Job(f"j{self._count}", "tiny", task, params)
        self.engine.submit(job, going.context)
        self.running[job.id] = going
        return going

    def step(self) -> None:
        for event in self.engine.step():
            going = self.running[event.job_id]
            if isinstance(event.what, Piece):
                going.pieces.append(event.what.data)
                continue
            going.last = event.what.data if isinstance(event.what, Result) else event.what
            del self.running[event.job_id]

    def finish(self) -> None:
        while self.running:
            self.step()

    def ask(self, **params: Any) -> Going:
        """Submit a job and make steps until it and all others have ended."""
        going = self.submit(**params)
        self.finish()
        return going


@contextlib.contextmanager
def driving(file: Path = TINY, **spec: Any) -> Generator[Driver]:
    engine = LlamaCppEngine()
    given: dict[str, Any] = {"defaults": {"temperature": 0, "max_tokens": 300}} | spec
    engine.load(ModelSpec("tiny", "text-completion", "llama-cpp", file=str(file), **given), Quiet())
    try:
        yield Driver(engine)
    finally:
        engine.close()
