"""A GGUF model in llama.cpp as a `TextModel`: one context with one sequence, on the low-level API."""

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

from infsup.protocol.errors import EngineFailure
from infsup.workers.engine import JobContext
from infsup.workers.generation.model import Sampling, TokenSampler
from infsup.workers.generation.template import ChatTemplate
from infsup.workers.generation.vocabulary import Vocabulary

from .llama_cpp_sampler import ChainSampler

_ABORTED = 2
"""What llama_decode returns after its abort callback said so; batches done by then stay in the context."""


class LlamaTextModel:
    """One llama.cpp context and the one sequence that it holds."""

    def __init__(
        self,
        library: Any,
        model: Any,
        context: Any,
        *,
        vocabulary: Vocabulary,
        template: tuple[ChatTemplate | None, str],
        context_size: int,
        batch_size: int,
    ) -> None:
        """`context_size` and `batch_size` are in tokens; the context has room for as many. `close` frees all."""
        self.vocabulary = vocabulary
        self.template, self.no_template = template
        self.context_size = context_size
        self._library, self._model, self._context = library, model, context
        self._batch_size = batch_size
        self._memory = library.llama_get_memory(context)
        self._batch = library.llama_batch_init(batch_size, 0, 1)
        for i in range(batch_size):
            self._batch.n_seq_id[i] = 1
            self._batch.seq_id[i][0] = 0
        self._tokens: list[int] = []
        # libc's strlen of a buffer is an abort callback that needs no Python: it is true once the first byte is set.
        strlen = ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p).value
        self._is_set: Any = library.ggml_abort_callback(strlen)
        self._flag = ctypes.create_string_buffer(2)

    @property
    def used(self) -> int:
        """See `TextModel.used`."""
        return len(self._tokens)

    def start(self, context: JobContext) -> None:
        """Let a cancellation end the batch that is going on; each job has a flag of its own."""
        flag = ctypes.create_string_buffer(2)
        pointer = ctypes.cast(flag, ctypes.c_void_p)
        self._library.llama_set_abort_callback(self._context, self._is_set, pointer)
        self._flag = flag
        context.on_cancel(_setter(flag))

    def read(self, tokens: Sequence[int], context: JobContext) -> int:
        """See `TextModel.read`."""
        common = 0
        for held, wanted in zip(self._tokens, tokens[:-1], strict=False):
            if held != wanted:
                break
            common += 1
        common = self._keep(common)
        for start in range(common, len(tokens), self._batch_size):
            context.check()
            chunk = tokens[start : start + self._batch_size]
            self._decode(chunk, context)
            context.progress(len(chunk))
        return common

    def sampler(self, sampling: Sampling, prompt: Sequence[int]) -> TokenSampler:
        """See `TextModel.sampler`."""
        size = len(self.vocabulary.pieces)
        return ChainSampler(self._library, self._context, size, sampling, prompt=prompt)

    def advance(self, token: int, context: JobContext) -> None:
        """See `TextModel.advance`."""
        self._decode((token,), context)

    def close(self) -> None:
        """Free batch, context and model."""
        self._library.llama_batch_free(self._batch)
        self._library.llama_free(self._context)
        self._library.llama_model_free(self._model)

    def _decode(self, tokens: Sequence[int], context: JobContext) -> None:
        """Append tokens to the sequence; when that fails or is aborted, nothing has changed."""
        batch, past = self._batch, len(self._tokens)
        for i, token in enumerate(tokens):
            batch.token[i] = token
            batch.pos[i] = past + i
            batch.logits[i] = 0
        batch.logits[len(tokens) - 1] = 1
        batch.n_tokens = len(tokens)
        status = self._library.llama_decode(self._context, batch)
        if status == 0:
            self._tokens.extend(tokens)
            return
        self._keep(past)
        context.check()
        reason = "aborted" if status == _ABORTED else f"llama_decode returned {status}"
        raise EngineFailure(f"llama.cpp failed: {reason}")

    def _keep(self, count: int) -> int:
        """Forget all but the first `count` tokens and return what is left: some models can only forget all."""
        if not self._library.llama_memory_seq_rm(self._memory, 0, count, -1):
            self._library.llama_memory_seq_rm(self._memory, 0, -1, -1)
            count = 0
        del self._tokens[count:]
        return count


def _setter(flag: Any) -> Callable[[], None]:
    def abort() -> None:
        flag[0] = 1

    return abort
