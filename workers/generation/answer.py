"""The decoding loop: from a text job to pieces and a result, on any `TextModel`."""

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from infsup.protocol.job import Job
from infsup.workers.engine import JobContext, Piece, Result

from .detokenizer import Detokenizer
from .model import Sampling, TextModel
from .params import TextParams, read_params
from .prompts import Prompt, build_prompt
from .resolve import resolve_sampling
from .stops import StopMatcher


@dataclass(frozen=True, slots=True)
class Choice:
    """One finished answer: `tokens` are new, `cached` those of the prompt that were in the context already."""

    text: str
    finish_reason: str
    tokens: int
    cached: int


def answer(
    model: TextModel, job: Job, defaults: Mapping[str, Any], context: JobContext
) -> Generator[Piece | Result, None, None]:
    """Run a text or chat job.

    Pieces are `{"index", "text", "tokens"}`, the first also has `prompt_tokens` and, where there are several
    choices, the last of each its `finish_reason`; the result is `{"choices", "usage"}`.

    Raises the errors of `read_params` and `build_prompt`, and `JobCancelled`.
    """
    params = read_params(job.task, job.params, defaults)
    prompt = build_prompt(model, params)
    sampling = resolve_sampling(params, model.vocabulary, model.context_size)
    model.start(context)
    choices: list[Choice] = []
    for index in range(params.n):
        seeded = replace(sampling, seed=(sampling.seed + index) % 2**64)
        choice = yield from _Run(model, prompt, params=params, sampling=seeded, context=context, index=index).pieces()
        choices.append(choice)
    yield Result({
        "choices": [
            {"index": index, "text": choice.text, "finish_reason": choice.finish_reason}
            for index, choice in enumerate(choices)
        ],
        "usage": {
            "prompt_tokens": len(prompt.tokens),
            "completion_tokens": sum(choice.tokens for choice in choices),
            "cached_tokens": choices[0].cached,
        },
    })  # fmt: skip


class _Run:
    """One answer in the making."""

    def __init__(
        self,
        model: TextModel,
        prompt: Prompt,
        *,
        params: TextParams,
        sampling: Sampling,
        context: JobContext,
        index: int,
    ) -> None:
        room = model.context_size - len(prompt.tokens)
        self._model, self._prompt, self._sampling, self._context = model, prompt, sampling, context
        self._limit = room if params.max_tokens is None else min(room, params.max_tokens)
        self._index = index
        self._tells_end = params.n > 1  # else the result does, at once
        self._detokenizer = Detokenizer(model.vocabulary.pieces)
        self._stops = StopMatcher(params.stop)
        self._text: list[str] = []
        self._tokens = 0
        self._unsent = 0

    def pieces(self) -> Generator[Piece, None, Choice]:
        """Read the prompt, then generate to the end."""
        self._context.check()
        cached = 0
        if self._limit:
            self._context.phase("prefill")
            cached = self._model.read(self._prompt.tokens, self._context)
        if self._prompt.opening:
            yield self._piece(self._prompt.opening)
        reason = "length"
        if self._limit:
            self._context.phase("decode")
            reason = yield from self._generate()
        rest = "" if self._stops.matched else self._stops.push(self._detokenizer.flush()) + self._stops.flush()
        if self._tells_end:
            yield Piece({**self._piece(rest).data, "finish_reason": reason})
        elif rest:
            yield self._piece(rest)
        return Choice("".join(self._text), reason, self._tokens, cached)

    def _generate(self) -> Generator[Piece, None, str]:
        """Generate tokens and return why it ended."""
        model, context, end_tokens = self._model, self._context, self._model.vocabulary.end_tokens
        with closing(model.sampler(self._sampling, self._prompt.tokens)) as sampler:
            while True:
                context.check()
                token = sampler.sample()
                if token in end_tokens:
                    return "stop"
                context.progress()
                self._tokens += 1
                self._unsent += 1
                text = self._stops.push(self._detokenizer.push(token))
                if text:
                    yield self._piece(text)
                if self._stops.matched:
                    return "stop"
                if self._tokens >= self._limit:
                    return "length"
                model.advance(token, context)

    def _piece(self, text: str) -> Piece:
        data: dict[str, Any] = {"index": self._index, "text": text, "tokens": self._unsent}
        if not self._text and self._index == 0:
            data["prompt_tokens"] = len(self._prompt.tokens)
        self._text.append(text)
        self._unsent = 0
        return Piece(data)
