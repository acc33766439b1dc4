"""How much memory an instance will need as long as none has run: from its files and what they say. Pure.

Rather too high: an instance that does not fit takes others down with it, and the first run corrects the estimate.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from .config import ModelConfig
from .config.units import parse_size
from .gguf_facts import Facts
from .weights import Weights

BASE_BYTES: Mapping[str, int] = {"fault": 40_000_000, "llama-cpp": 80_000_000, "onnx": 120_000_000}
"""The interpreter, the engine's library and its buffers. Measured with models of nothing: 27, 58 and 87 MB."""
OTHER_BASE_BYTES = 150_000_000
WEIGHT_FACTOR: Mapping[str, float] = {"onnx": 2.0}
"""onnxruntime holds a second copy while it loads, and float32 copies of float16 weights for ever."""
OTHER_WEIGHT_FACTOR = 1.1
CACHE_NUMBER_BYTES: Mapping[str, float] = {"llama-cpp": 2.0, "onnx": 4.0}
"""Bytes of one number in the KV cache: f16, and float32."""
COMPUTE_TOKENS = 512
"""Tokens that are computed at once, at most (llama.cpp's `n_ubatch`)."""
COMPUTE_WIDTHS = 16
"""Numbers kept for each token while computing, in widths of the model; the logits come on top."""
CONTEXT_STEP = 1024
LEAST_CONTEXT = 4096
"""A context of the model's own size is not cut below this, in tokens."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes of memory by what they are for."""

    base: int
    weights: int = 0
    context: int = 0
    compute: int = 0
    context_size: int = 0
    """Tokens of one sequence that `context` is for; 0 = unknown."""
    at_load: int = 0
    """The part that the process has allocated for itself, for certain, as soon as the model is loaded."""

    @property
    def bytes(self) -> int:
        """All together."""
        return self.base + self.weights + self.context + self.compute

    def __str__(self) -> str:
        """Return the parts in words, without those that are nothing."""
        parts = {
            "files": self.weights,
            f"a context of {self.context_size} tokens": self.context,
            "computing": self.compute,
            "the process": self.base,
        }
        return ", ".join(f"{part / 1e6:.0f} MB for {what}" for what, part in parts.items() if part)


def estimate(model: ModelConfig, weights: Weights) -> Estimate:
    """Return what one instance needs, in main memory."""
    base = BASE_BYTES.get(model.engine, OTHER_BASE_BYTES)
    if model.engine == "fault":
        ordered = _ordered_memory(model)
        return Estimate(base + ordered, weights.bytes, at_load=ordered)
    held = int(weights.bytes * WEIGHT_FACTOR.get(model.engine, OTHER_WEIGHT_FACTOR))
    facts = weights.facts
    if facts is None or model.engine not in CACHE_NUMBER_BYTES:
        return Estimate(base, held)
    size = model.context_size or facts.context_length
    if is_all_on_gpu(model):
        return Estimate(base, held, context_size=size)
    context = kv_cache_bytes(facts, size, model.parallel, CACHE_NUMBER_BYTES[model.engine])
    tokens = min(model.batch_size, COMPUTE_TOKENS)
    compute = tokens * 4 * (facts.vocabulary + COMPUTE_WIDTHS * facts.embedding_length)
    at_load = context if model.engine == "llama-cpp" else 0  # others let it grow
    return Estimate(base, held, context, compute, size, at_load)


def kv_cache_bytes(facts: Facts, context: int, parallel: int = 1, number_bytes: float = 2.0) -> int:
    """Return the size of the KV cache of `parallel` sequences of `context` tokens; 0 tokens = the trained length.

    Rather too high for a model whose layers see a window of the text.
    """
    tokens = (context or facts.context_length) * max(1, parallel)
    return int(tokens * facts.kv_heads * (facts.key_length + facts.value_length) * number_bytes)


def context_that_fits(model: ModelConfig, weights: Weights, room: int) -> int:
    """Return the `context_size` to load with where the configuration leaves it to us: 0 = the trained length fits.

    `room` is the memory for one instance, in bytes. Never below the trained length or `LEAST_CONTEXT`, whichever is
    less: what does not fit even so is the admission's to refuse.
    """
    if model.context_size:
        return 0
    full = estimate(model, weights)
    if not full.context or full.bytes <= room:
        return 0
    tokens = full.context_size * max(0, room - full.bytes + full.context) // full.context
    return max(tokens - tokens % CONTEXT_STEP, min(LEAST_CONTEXT, full.context_size))


def is_all_on_gpu(model: ModelConfig) -> bool:
    """Tell whether weights and context are in the GPU's memory in any case; weights pass through main memory."""
    return model.device.gpu not in {False, "auto"} and model.device.gpu_layers == -1


def _ordered_memory(model: ModelConfig) -> int:
    """Return what the fault engine is told to allocate."""
    order = model.options.get("memory", 0)
    if isinstance(order, str):
        try:
            return int(order) if order.isdecimal() else parse_size(order).bytes
        except ValueError:
            return 0
    return order if isinstance(order, int) else 0
