"""A decoder in ONNX Runtime as a `TextModel`: the KV cache stays in the runtime's own values."""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from infsup.protocol.errors import EngineFailure
from infsup.workers.engine import JobContext
from infsup.workers.generation.model import Sampling, TokenSampler
from infsup.workers.generation.sampler import Floats, Sampler
from infsup.workers.generation.template import ChatTemplate
from infsup.workers.generation.vocabulary import Vocabulary

from .onnx_layout import Layout

MAX_LOGITS_BYTES = 64 * 1024 * 1024
"""Most exports compute the logits of every position: this bounds them in one run of a prompt."""


class OnnxTextModel:
    """One session and the one sequence that it holds."""

    def __init__(
        self,
        session: Any,
        layout: Layout,
        *,
        vocabulary: Vocabulary,
        template: tuple[ChatTemplate | None, str],
        context_size: int,
        batch_size: int,
    ) -> None:
        """`context_size` and `batch_size` are in tokens."""
        self.vocabulary = vocabulary
        self.template, self.no_template = template
        self.context_size = context_size
        self._ort: Any = importlib.import_module("onnxruntime")
        self._session: Any = session
        self._layout = layout
        self._device = "cuda" if "CUDAExecutionProvider" in session.get_providers() else "cpu"
        self._batch = max(1, min(batch_size, context_size, MAX_LOGITS_BYTES // (4 * len(vocabulary.pieces))))
        self._binding: Any = session.io_binding()
        self._run_options = self._new_run_options()
        self._ones = np.ones((1, context_size), layout.inputs.get("attention_mask", np.int64))
        self._tokens: list[int] = []
        self._past = self._empty()
        self._last: Floats = np.zeros(0, np.float32)

    @property
    def used(self) -> int:
        """See `TextModel.used`."""
        return len(self._tokens)

    def start(self, context: JobContext) -> None:
        """Let a cancellation end the run that is going on."""
        options = self._run_options = self._new_run_options()
        context.on_cancel(lambda: setattr(options, "terminate", True))

    def read(self, tokens: Sequence[int], context: JobContext) -> int:
        """See `TextModel.read`."""
        common = 0
        for held, wanted in zip(self._tokens, tokens[:-1], strict=False):
            if held != wanted:
                break
            common += 1
        self._keep(common)
        for start in range(common, len(tokens), self._batch):
            context.check()
            chunk = tokens[start : start + self._batch]
            self._run(chunk, context)
            context.progress(len(chunk))
        return common

    def sampler(self, sampling: Sampling, prompt: Sequence[int]) -> TokenSampler:
        """See `TextModel.sampler`."""
        return Sampler(sampling, prompt, lambda: self._last)

    def advance(self, token: int, context: JobContext) -> None:
        """See `TextModel.advance`."""
        self._run((token,), context)

    def close(self) -> None:
        """Drop the session and the cache."""
        self._past, self._session, self._binding = {}, None, None

    def _run(self, tokens: Sequence[int], context: JobContext) -> None:
        """Append tokens to the sequence; when the run fails or is ended, nothing has changed."""
        binding = self._binding
        inputs = self._inputs(tokens)
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        for name, value in self._past.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_output("logits", "cpu")
        for cached in self._layout.cache:
            binding.bind_output(cached.present, self._device)
        try:
            self._session.run_with_iobinding(binding, self._run_options)
        except Exception as error:
            context.check()
            raise EngineFailure(f"onnxruntime failed: {error}") from error
        logits, *presents = binding.get_outputs()
        self._past = {cached.past: value for cached, value in zip(self._layout.cache, presents, strict=True)}
        self._tokens.extend(tokens)
        self._last = logits.numpy()[0, -1].astype(np.float32)

    def _inputs(self, tokens: Sequence[int]) -> dict[str, npt.NDArray[Any]]:
        past, total = len(self._tokens), len(self._tokens) + len(tokens)
        types = self._layout.inputs
        inputs: dict[str, npt.NDArray[Any]] = {"input_ids": np.array([tokens], types["input_ids"])}
        if "attention_mask" in types:
            inputs["attention_mask"] = self._ones[:, :total]
        if "position_ids" in types:
            inputs["position_ids"] = np.arange(past, total, dtype=types["position_ids"])[None]
        if "use_cache_branch" in types:
            inputs["use_cache_branch"] = np.array([past > 0])
        if "num_logits_to_keep" in types:
            inputs["num_logits_to_keep"] = np.array(1, types["num_logits_to_keep"])
        return inputs

    def _keep(self, count: int) -> None:
        """Forget all but the first `count` tokens."""
        if count == len(self._tokens):
            return
        if count:
            for cached in self._layout.cache:
                kept = np.take(self._past[cached.past].numpy(), range(count), axis=cached.axis)
                self._past[cached.past] = self._value(kept)
        else:
            self._past = self._empty()
        del self._tokens[count:]

    def _new_run_options(self) -> Any:
        options = self._ort.RunOptions()
        # Shapes change with every run, so no CUDA graphs; left unset, each run would raise and catch an error (0.2 ms).
        options.add_run_config_entry("gpu_graph_id", "-1")
        return options

    def _empty(self) -> dict[str, Any]:
        return {cached.past: self._value(np.zeros(cached.shape, cached.dtype)) for cached in self._layout.cache}

    def _value(self, array: npt.NDArray[Any]) -> Any:
        return self._ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self._device, 0)
