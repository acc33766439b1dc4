"""How likely tokens were: the logarithms of the model's own probabilities, before any sampler changes them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from infsup.workers.generation.choice import Entry
from infsup.workers.generation.detokenizer import Detokenizer
from infsup.workers.generation.prompts import Prompt
from infsup.workers.generation.vocabulary import Vocabulary

from .llama_cpp_context import LlamaContext


class Logprobs:
    """Reads logits of the last batch. Arithmetic is in float64, on the logits as llama.cpp has them."""

    def __init__(self, context: LlamaContext, vocabulary: Vocabulary) -> None:
        """Both outlive it."""
        self._context = context
        self._vocabulary = vocabulary

    def entry(self, at: int, token: int, top: int) -> Entry:
        """Return what is to be told of a token that follows the batch's index `at`, with the `top` likeliest."""
        logits = self._context.logits(at, len(self._vocabulary.pieces))
        floor = _log_total(logits)
        best = _best(logits, top)
        told = self._told(token, float(logits[token]) - floor)
        return {**told, "top": [self._told(int(each), float(logits[each]) - floor) for each in best]}

    def first(self, token: int) -> Entry:
        """Return what is to be told of a prompt's first token: nothing comes before it."""
        return {**self._told(token, None), "top": []}

    def place(self, entries: Sequence[Entry], prompt: Prompt) -> None:
        """Add the `offset` of each of a prompt's tokens in the text that is echoed."""
        detokenizer, offset = Detokenizer(self._vocabulary.pieces), 0
        for token, entry in zip(prompt.tokens, entries, strict=True):
            entry["offset"] = offset
            name = self._vocabulary.control_names.get(token, "")
            # A control token stands in the text if it was written there, and not if it was put in front.
            offset += len(name) if name and prompt.opening.startswith(name, offset) else len(detokenizer.push(token))

    def _told(self, token: int, logprob: float | None) -> dict[str, Any]:
        vocabulary = self._vocabulary
        return {"token": vocabulary.shown(token), "bytes": bytes(vocabulary.pieces[token]), "logprob": logprob}


def _log_total(logits: npt.NDArray[np.float32]) -> float:
    """Return the logarithm of the sum of the exponentials."""
    highest = float(logits.max())
    return highest + float(np.log(np.exp(logits.astype(np.float64) - highest).sum()))


def _best(logits: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.intp]:
    if not count:
        return np.zeros(0, np.intp)
    count = min(count, len(logits))
    found = np.argpartition(-logits, count - 1)[:count]
    return found[np.argsort(-logits[found], kind="stable")]
