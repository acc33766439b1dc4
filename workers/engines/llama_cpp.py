"""The engine `llama-cpp`: GGUF models in llama.cpp, on the low-level API of llama-cpp-python."""

from collections.abc import Mapping
from typing import Any

from infsup.protocol.job import Job
from infsup.protocol.spec import ModelSpec
from infsup.workers.engine import BatchEngine, Event, JobContext, ModelInfo, Report
from infsup.workers.generation.answer import new_writer, reseeded
from infsup.workers.generation.engine import check_definition
from infsup.workers.generation.params import read_params
from infsup.workers.generation.resolve import resolve_sampling

from .llama_cpp_batcher import Request
from .llama_cpp_load import LoadedModel
from .llama_cpp_options import OPTIONS


class LlamaCppEngine(BatchEngine):
    """A GGUF file with a decoder, which answers `parallel` jobs at once."""

    tasks = frozenset({"text-completion", "chat-completion"})

    def __init__(self) -> None:
        """Take nothing until `load`."""
        self._loaded: LoadedModel | None = None
        self._defaults: Mapping[str, Any] = {}
        self._grammars: Mapping[str, Any] = {}

    def load(self, model: ModelSpec, report: Report) -> ModelInfo:
        """Load the file and make a context. Raises the errors of `check_definition` and `load_model`."""
        from .llama_cpp_load import load_model  # noqa: PLC0415 - imports llama_cpp

        check_definition(model, OPTIONS)
        self._defaults, self._grammars = model.defaults, model.grammars
        self._loaded = load_model(model, report)
        self.capacity = model.parallel
        if self._loaded.facts.template is None:
            self.tasks = frozenset({"text-completion"})
        return self._loaded.info

    def submit(self, job: Job, context: JobContext) -> None:
        """Take a job. Raises the errors of `read_params`, `build_prompt` and `new_writer`."""
        model = self._model
        facts = model.facts
        params = read_params(job.task, job.params, self._defaults, grammars=self._grammars)
        prompt = model.shift.build(facts, params)
        sampling = resolve_sampling(params, facts.vocabulary, facts.context_size)
        answers = [
            (new_writer(facts, params, prompt, index=index, masks=True), reseeded(sampling, index))
            for index in range(params.answers)
        ]
        tells_prompt = params.echo and params.logprobs is not None
        request = Request(job.id, context, prompt, params.n, params.logprobs, tells_prompt=tells_prompt)
        model.batcher.submit(request, answers)

    def step(self) -> list[Event]:
        """See `BatchEngine.step`."""
        batcher = self._model.batcher
        events = batcher.step()
        self.context_used = batcher.used
        return events

    def close(self) -> None:
        """Give the model back; harmless when called twice."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded.close()

    @property
    def _model(self) -> LoadedModel:
        if self._loaded is None:
            raise RuntimeError("used before load")
        return self._loaded
