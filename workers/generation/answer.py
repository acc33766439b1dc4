"""The decoding loop: from a text job to pieces and a result, on any `TextModel`."""

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from infsup.protocol.errors import UnsupportedParameter
from infsup.protocol.job import Job
from infsup.workers.engine import JobContext, Piece, Result

from .choice import Choice, ChoiceWriter
from .model import PromptModel, Sampling, TextModel
from .params import ADVANCED, TextParams, read_params
from .plan import begin, plan_answer
from .prompts import Prompt, build_prompt
from .resolve import resolve_sampling


def answer(
    model: TextModel,
    job: Job,
    defaults: Mapping[str, Any],
    context: JobContext,
    *,
    lacks: Collection[str] = ADVANCED,
    grammars: Mapping[str, Any] | None = None,
) -> Generator[Piece | Result, None, None]:
    """Run a text or chat job. Pieces are those of `ChoiceWriter`, the result is `{"choices", "usage"}`.

    `lacks` are the parameters that the engine has not.

    Raises the errors of `read_params` and `build_prompt`, and `JobCancelled`.
    """
    params = read_params(job.task, job.params, defaults, lacks=lacks, grammars=grammars)
    prompt = build_prompt(model, params)
    sampling = resolve_sampling(params, model.vocabulary, model.context_size)
    model.start(context)
    choices: list[Choice] = []
    cached = 0
    for index in range(params.n):
        writer = new_writer(model, params, prompt, index=index, masks=True)
        read = yield from _write(model, prompt, writer, sampling=reseeded(sampling, index), context=context)
        choices.append(writer.choice)
        if index == 0:
            cached = read
    yield text_result(choices, prompt, cached)


def new_writer(
    model: PromptModel, params: TextParams, prompt: Prompt, *, index: int, masks: bool = False
) -> ChoiceWriter:
    """Return the writer of one of a request's answers: it may be as long as the request and the context allow.

    `masks` says that the engine's sampler obeys `ChoiceWriter.mask`. Raises `InvalidRequest` and
    `UnsupportedParameter` for a form that is wrong, cannot be held, or needs masks.
    """
    room = model.context_size - len(prompt.tokens)
    plan = plan_answer(model, params, prompt)
    if plan.grammar and not masks:
        field = params.format.field if params.format else "tool_choice"
        raise UnsupportedParameter(f"{field}: this engine cannot hold answers to a form", param=field)
    prefill = prompt.opening if params.messages else ""
    return ChoiceWriter(
        plan.pieces,
        model.vocabulary.end_tokens,
        shaper=plan.shaper(),
        constraint=begin(plan.grammar, model.vocabulary, prefill) if plan.grammar else None,
        index=index,
        limit=room if params.max_tokens is None else min(room, params.max_tokens),
        stops=params.stop,
        prompt_tokens=len(prompt.tokens),
        tells_end=params.n > 1,  # else the result does, at once
        min_tokens=params.min_tokens,
        tells_logprobs=params.logprobs is not None,
    )


def reseeded(sampling: Sampling, index: int) -> Sampling:
    """Return the sampling of a request's answer number `index`: they differ in the seed."""
    return replace(sampling, seed=(sampling.seed + index) % 2**64) if index else sampling


def text_result(choices: Sequence[Choice], prompt: Prompt, cached: int, n: int = 0) -> Result:
    """Return what a text job ends with; `cached` tokens of the prompt were in the context already.

    With `n`, only as many choices are in it: those whose tokens were the likeliest on average.
    """
    told = list(choices)
    if n and n < len(choices):
        likeliest = sorted(choices, key=lambda choice: choice.logprob / max(1, choice.tokens), reverse=True)
        told = [replace(choice, index=index) for index, choice in enumerate(likeliest[:n])]
    return Result({
        "choices": [choice.to_map() for choice in told],
        "usage": {
            "prompt_tokens": len(prompt.tokens),
            "completion_tokens": sum(choice.tokens for choice in choices),
            "cached_tokens": cached,
        },
    })  # fmt: skip


def _write(
    model: TextModel, prompt: Prompt, writer: ChoiceWriter, *, sampling: Sampling, context: JobContext
) -> Generator[Piece, None, int]:
    """Read the prompt, then generate to the end; return how many of its tokens were in the context already."""
    context.check()
    cached = 0
    if not writer.reason:
        context.phase("prefill")
        cached = model.read(prompt.tokens, context)
    if (piece := writer.open(prompt.opening)) is not None:
        yield piece
    if not writer.reason:
        context.phase("decode")
        yield from _generate(model, prompt, writer, sampling=sampling, context=context)
    if (piece := writer.end()) is not None:
        yield piece
    return cached


def _generate(
    model: TextModel, prompt: Prompt, writer: ChoiceWriter, *, sampling: Sampling, context: JobContext
) -> Generator[Piece, None, None]:
    with closing(model.sampler(sampling, prompt.tokens)) as sampler:
        while True:
            context.check()
            token = sampler.sample(writer.mask())
            piece = writer.push(token)
            if piece is not None:
                yield piece
            if writer.reason:
                return
            context.progress()
            model.advance(token, context)
