"""The effects on llama.cpp: one context with several sequences, a batch to fill, decoding, and the KV cache."""

import ctypes
from collections.abc import Sequence
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from infsup.protocol.errors import EngineFailure
from infsup.workers.engine import Report

_OK, _NO_ROOM, _ABORTED = 0, 1, 2
"""What llama_decode returns; below 0 are failures."""


class Decoded(Enum):
    """How a decode ended. Only with YES are the batch's tokens in the cache as a whole."""

    YES = "done"
    NO_ROOM = "no cells for the batch were free; nothing was added"
    ABORTED = "aborted; a part of the batch may have been added"


class Logits(Enum):
    """Of which of the tokens added together the logits are wanted."""

    NONE = "none: more tokens of this prompt follow"
    LAST = "the last one: the next token is to be sampled"
    ALL = "all of them"


class LlamaContext:
    """Owns a llama.cpp context and its model. Fill the batch with `add`, then `decode`.

    `abort` may be called from any thread; everything else from one.
    """

    def __init__(self, library: Any, model: Any, context: Any, batch_size: int) -> None:
        """`batch_size` is the most tokens of one decode; `close` frees model and context."""
        self.library, self.model, self.context = library, model, context
        self.batch_size = batch_size
        # Some architectures keep a state that can be forgotten only as a whole.
        self.can_cut = not (library.llama_model_is_recurrent(model) or library.llama_model_is_hybrid(model))
        self._memory = library.llama_get_memory(context)
        self._decode: Any = library.llama_decode
        # The arrays are ours and typed: reading them through the struct would make a pointer object for every token.
        self._tokens: Any = (library.llama_token * batch_size)()
        self._positions: Any = (library.llama_pos * batch_size)()
        self._sequences: Any = (library.llama_seq_id * batch_size)()
        self._outputs: Any = (ctypes.c_int8 * batch_size)()
        self._batch = self._bind(library)
        self._count = 0
        self._flag: Any = ctypes.create_string_buffer(2)
        self._is_set = self._watch_flag()

    def _bind(self, library: Any) -> Any:
        """Return a batch that points at the arrays; each token is in one sequence."""
        size, step = self.batch_size, ctypes.sizeof(library.llama_seq_id)
        kinds: dict[str, Any] = dict(library.llama_batch._fields_)
        pointer: Any = kinds["seq_id"]._type_
        first = ctypes.addressof(self._sequences)
        self._each: Any = (pointer * size)(*(ctypes.cast(first + step * i, pointer) for i in range(size)))
        self._ones: Any = (ctypes.c_int32 * size)(*[1] * size)
        batch = library.llama_batch()
        batch.token = ctypes.cast(self._tokens, kinds["token"])
        batch.pos = ctypes.cast(self._positions, kinds["pos"])
        batch.n_seq_id = ctypes.cast(self._ones, kinds["n_seq_id"])
        batch.seq_id = ctypes.cast(self._each, kinds["seq_id"])
        batch.logits = ctypes.cast(self._outputs, kinds["logits"])
        return batch

    def _watch_flag(self) -> Any:
        # libc's strlen of a buffer is an abort callback that needs no Python: it is true once the first byte is set.
        strlen = ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p).value
        callback = self.library.ggml_abort_callback(strlen)
        self.library.llama_set_abort_callback(self.context, callback, ctypes.cast(self._flag, ctypes.c_void_p))
        return callback

    def abort(self) -> None:
        """End the decode that is going on, or the next one unless `arm` comes first."""
        self._flag[0] = 1

    def arm(self) -> None:
        """Forget aborts that came so far."""
        self._flag[0] = 0

    def add(self, sequence: int, tokens: Sequence[int], position: int, logits: Logits = Logits.LAST) -> int:
        """Add tokens to the batch and return the batch's index of the last.

        `position` is that of the first in its sequence.
        """
        start, count = self._count, len(tokens)
        end = start + count
        if count == 1:
            self._tokens[start] = tokens[0]
            self._positions[start] = position
            self._sequences[start] = sequence
        else:
            self._tokens[start:end] = tokens
            self._positions[start:end] = range(position, position + count)
            self._sequences[start:end] = [sequence] * count
            self._outputs[start:end] = [logits is Logits.ALL] * count
        self._outputs[end - 1] = logits is not Logits.NONE
        self._count = end
        return end - 1

    def decode(self) -> Decoded:
        """Compute the batch and empty it. Raises `EngineFailure`; then the batch is empty too."""
        self._batch.n_tokens, self._count = self._count, 0
        status = self._decode(self.context, self._batch)
        if status == _OK:
            return Decoded.YES
        if status == _NO_ROOM:
            return Decoded.NO_ROOM
        if status == _ABORTED:
            return Decoded.ABORTED
        raise EngineFailure(f"llama.cpp failed: llama_decode returned {status}")

    def ingest(self, sequence: int, tokens: Sequence[int], report: Report) -> None:
        """Read tokens into an empty sequence. Raises `EngineFailure`."""
        for start in range(0, len(tokens), self.batch_size):
            chunk = tokens[start : start + self.batch_size]
            self.add(sequence, chunk, start)
            if self.decode() is not Decoded.YES:
                raise EngineFailure("llama.cpp failed to read what is to be preloaded")
            report.progress(len(chunk))

    def logits(self, at: int, size: int) -> npt.NDArray[np.float32]:
        """Return a view of the logits at an index of the last batch, valid until the next; `size` of the vocabulary."""
        row = self.library.llama_get_logits_ith(self.context, at)
        if not row:
            raise EngineFailure("llama.cpp has no logits for a token of the batch")
        view: npt.NDArray[np.float32] = np.ctypeslib.as_array(row, (size,))
        return view

    def keep(self, sequence: int, count: int) -> int:
        """Forget all but a sequence's first `count` tokens; return what is left: some models can only forget all."""
        if self.library.llama_memory_seq_rm(self._memory, sequence, count, -1):
            return count
        self.library.llama_memory_seq_rm(self._memory, sequence, -1, -1)
        return 0

    def copy(self, source: int, target: int, count: int) -> None:
        """Make the first `count` tokens of one sequence the content of another; they share the cells."""
        self.library.llama_memory_seq_rm(self._memory, target, -1, -1)
        self.library.llama_memory_seq_cp(self._memory, source, target, 0, count if self.can_cut else -1)

    def close(self) -> None:
        """Free context and model; harmless when called twice."""
        if self.context:
            self.library.llama_free(self.context)
            self.library.llama_model_free(self.model)
            self.context = self.model = None
