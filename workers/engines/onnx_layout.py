"""How an exported decoder takes and gives its KV cache, read off the names and shapes of its inputs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from infsup.protocol.errors import ModelUnavailable

_PAST = re.compile(r"past_key_values\.(\d+)\.(key|value)")
_PLAIN = frozenset({"input_ids", "attention_mask", "position_ids", "use_cache_branch", "num_logits_to_keep"})
_TYPES: Mapping[str, npt.DTypeLike] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}


@dataclass(frozen=True, slots=True)
class Cached:
    """One tensor of the cache: what the next run takes as `past` is what this one gives as `present`.

    `shape` is that for one sequence with an empty past, `axis` the one that grows.
    """

    past: str
    present: str
    shape: tuple[int, ...]
    axis: int
    dtype: npt.DTypeLike


@dataclass(frozen=True, slots=True)
class Layout:
    """A decoder's inputs: the cache, and the types of the others by name. `vocabulary` is 0 if unknown."""

    cache: tuple[Cached, ...]
    inputs: Mapping[str, npt.DTypeLike]
    vocabulary: int


def read_layout(inputs: Sequence[Any], outputs: Sequence[Any]) -> Layout:
    """Read a session's `get_inputs()` and `get_outputs()`. Raises `ModelUnavailable` if it is no decoder."""
    given = {node.name: node for node in inputs}
    made = {node.name: node for node in outputs}
    unknown = sorted(name for name in given if name not in _PLAIN and not _PAST.fullmatch(name))
    if "input_ids" not in given or "logits" not in made or unknown:
        raise ModelUnavailable(
            f"this ONNX model generates no text: inputs {', '.join(given)[:200]}, "
            f"outputs {', '.join(made)[:200]}; needed are input_ids, past_key_values.*, logits and present.*"
        )
    cache = tuple(_cached(node, made) for name, node in given.items() if _PAST.fullmatch(name))
    if not cache:
        raise ModelUnavailable("this ONNX model was exported without a KV cache (no past_key_values.* inputs)")
    plain = {name: _dtype(node) for name, node in given.items() if name in _PLAIN}
    size = made["logits"].shape[-1]
    return Layout(cache, plain, size if isinstance(size, int) else 0)


def _cached(node: Any, made: Mapping[str, Any]) -> Cached:
    present = node.name.replace("past_key_values", "present")
    if present not in made:
        raise ModelUnavailable(f"this ONNX model has an input {node.name}, but no output {present}")
    dims = list(node.shape)
    growing = [i for i, dim in enumerate(dims) if i > 0 and not isinstance(dim, int)]
    if len(growing) != 1:
        raise ModelUnavailable(f"the KV cache {node.name} has shape {dims}: one axis after the first has to be open")
    shape = (1, *(0 if i == growing[0] else dim for i, dim in enumerate(dims) if i > 0))
    return Cached(node.name, present, shape, growing[0], _dtype(node))


def _dtype(node: Any) -> npt.DTypeLike:
    if node.type not in _TYPES:
        raise ModelUnavailable(f"the input {node.name} of this ONNX model has the unsupported type {node.type}")
    return _TYPES[node.type]
