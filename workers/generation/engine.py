"""The base of engines that generate text."""

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from typing import Any, ClassVar

from infsup.protocol.errors import UnsupportedParameter
from infsup.protocol.job import Job
from infsup.protocol.spec import ModelSpec
from infsup.workers.engine import Engine, JobContext, ModelInfo, Piece, Report, Result

from .answer import answer
from .answer_format import named_format
from .model import TextModel
from .params import ADVANCED, check_defaults


class TextEngine(Engine):
    """Serves text and, for models with a chat template, chats; a subclass opens the model."""

    tasks = frozenset({"text-completion", "chat-completion"})

    options: ClassVar[frozenset[str]] = frozenset({"chat_template"})
    """The names that a model's `options` may have."""

    lacks: ClassVar[frozenset[str]] = ADVANCED
    """The parameters that requests may not use."""

    def __init__(self) -> None:
        """Take nothing until `load`."""
        self._model: TextModel | None = None
        self._defaults: Mapping[str, Any] = {}
        self._grammars: Mapping[str, Any] = {}

    @abstractmethod
    def open_model(self, spec: ModelSpec, report: Report) -> tuple[TextModel, ModelInfo]:
        """Load the model; the place to import heavy libraries. Raises `ModelUnavailable` and `OutOfMemory`."""

    def load(self, model: ModelSpec, report: Report) -> ModelInfo:
        """Open the model. Raises the errors of `check_definition` and `open_model`."""
        check_definition(model, self.options, self.lacks)
        self._defaults, self._grammars = model.defaults, model.grammars
        self._model, info = self.open_model(model, report)
        if self._model.template is None:
            self.tasks = frozenset({"text-completion"})
        return info

    def run(self, job: Job, context: JobContext) -> Iterator[Piece | Result]:
        """Generate text."""
        if self._model is None:
            raise RuntimeError("run before load")
        events_of = answer(self._model, job, self._defaults, context, lacks=self.lacks, grammars=self._grammars)
        with closing(events_of) as events:
            for event in events:
                self.context_used = self._model.used
                yield event

    def close(self) -> None:
        """Give the model back; harmless when called twice."""
        model, self._model = self._model, None
        if model is not None:
            model.close()


def check_definition(model: ModelSpec, options: Collection[str], lacks: Collection[str] = ()) -> None:
    """Check a model's `defaults`, its `grammars` and the names of its `options`.

    Raises `UnsupportedParameter` and `InvalidRequest`.
    """
    for name in model.options:
        if name not in options:
            known = ", ".join(sorted(options))
            raise UnsupportedParameter(
                f"options.{name} is not an option of {model.engine}, which has {known}", param=f"options.{name}"
            )
    check_defaults(model.defaults, lacks)
    for name in model.grammars:
        if (named := named_format(model.grammars, name, f"grammars.{name}")) is not None:
            named.rules()
