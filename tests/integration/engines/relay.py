"""A custom engine for tests: it asks other models, as a user's own engine would.

A prompt `>MODEL PROMPT` asks that model, `~MODEL PROMPT` with a stream, `%NAME PROMPT` says that it is here by making
the file NAME.here in the directory of the option `meet` and goes on when NAME.go is there, `?MODEL PROMPT` answers
with the code of the error that asking ends with. Anything else is echoed.
"""

import time
from collections.abc import Iterator
from pathlib import Path

from infsup.protocol.errors import InfsupError
from infsup.protocol.job import Job
from infsup.protocol.messages import Chunk, Failed
from infsup.protocol.spec import ModelSpec
from infsup.workers.engine import Engine, JobContext, ModelInfo, Piece, Report, Result


class Relay(Engine):
    """Serves text, `capacity` jobs at once."""

    tasks = frozenset({"text-completion"})
    concurrent = True

    def load(self, model: ModelSpec, report: Report) -> ModelInfo:
        self._meet = Path(model.options.get("meet", "."))
        self.capacity = model.options.get("capacity", 1)
        return ModelInfo()

    def run(self, job: Job, context: JobContext) -> Iterator[Piece | Result]:
        prompt: str = job.params["prompt"]
        while prompt.startswith("%"):
            name, _, prompt = prompt[1:].partition(" ")
            self._wait(name, context)
        model, _, rest = prompt[1:].partition(" ")
        text = ""
        if prompt.startswith(">"):
            result = context.client.run(model, "text-completion", {"prompt": rest})
            text = result["choices"][0]["text"]
            yield Piece({"text": text, "tokens": 1, "index": 0})
        elif prompt.startswith("~"):
            for event in context.client.stream(model, "text-completion", {"prompt": rest}):
                if isinstance(event, Chunk):
                    text += event.data["text"]
                    yield Piece(event.data)
                elif isinstance(event, Failed):
                    raise event.error
        elif prompt.startswith("?"):
            text = self._ask_for_the_error(model, rest, context)
        else:
            text = prompt
        yield Result({"choices": [{"index": 0, "text": text, "finish_reason": "stop"}]})

    def _ask_for_the_error(self, model: str, prompt: str, context: JobContext) -> str:
        try:
            context.client.run(model, "text-completion", {"prompt": prompt})
        except InfsupError as error:
            return f"{error.code}: {error.message}"
        return "no error"

    def _wait(self, name: str, context: JobContext) -> None:
        (self._meet / f"{name}.here").touch()
        while not (self._meet / f"{name}.go").exists():
            context.check()
            context.progress()
            time.sleep(0.01)
