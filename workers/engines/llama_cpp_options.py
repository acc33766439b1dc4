"""What a model's `options` may say to the engine `llama-cpp`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from infsup.workers.generation.checks import Number, is_list, read_bool, read_text, refusal
from infsup.workers.generation.shift import DROP_OLDEST, ERROR, TRUNCATE_MIDDLE

SHIFTS = (ERROR, DROP_OLDEST, TRUNCATE_MIDDLE)
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
MAX_TOKENS = 2**31 - 1
CACHE_TYPES = ("f16", "bf16", "f32", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
"""The types that llama.cpp's KV cache may have."""
FLASH_ATTENTION = ("auto", "on", "off")
MAX_DEVICES = 16
"""LLAMA_MAX_DEVICES of llama.h."""


@dataclass(frozen=True, slots=True)
class LlamaOptions:
    """Options with their defaults.

    `ubatch_size`: tokens computed together inside a batch (0 = the batch, at most 512). `prefill_chunk`: prompt tokens
    in a step beside answers (0 = as many as keep the step under `prefill_factor` times one without). `kv_cells`: tokens
    that all sequences may hold together (0 = `parallel` × `context_size`). `threads_batch`: threads for prompts (0 =
    those of the device). `tensor_split`: shares of the model for each GPU. `context_shift`: see `generation/shift.py`.
    """

    chat_template: str = ""
    context_shift: str = ERROR
    ubatch_size: int = 0
    prefill_chunk: int = 0
    prefill_factor: float = 2.5
    kv_cells: int = 0
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    flash_attention: str = "auto"
    mmap: bool = True
    offload_kqv: bool = True
    threads_batch: int = 0
    main_gpu: int = 0
    tensor_split: tuple[float, ...] = ()


def read_options(options: Mapping[str, Any]) -> LlamaOptions:
    """Read a model's options. Raises `InvalidRequest` naming the option; unknown names are found before."""
    return LlamaOptions(**{
        name: _READERS[name](value, f"options.{name}") for name, value in options.items() if name in _READERS
    })  # fmt: skip


def _choice(*words: str) -> Callable[[Any, str], str]:
    def read(value: object, name: str) -> str:
        if not isinstance(value, str) or value not in words:
            raise refusal(name, value, ", ".join(words))
        return value

    return read


def _read_shift(value: object, name: str) -> str:
    if not isinstance(value, str) or not (value in SHIFTS or _FUNCTION.fullmatch(value)):
        raise refusal(name, value, f"{', '.join(SHIFTS)} or module:function")
    return value


def _read_split(value: object, name: str) -> tuple[float, ...]:
    if not is_list(value) or len(value) > MAX_DEVICES:
        raise refusal(name, value, f"a list of at most {MAX_DEVICES} numbers")
    return tuple(Number(0, 1e9).read(share, f"{name}[{i}]") for i, share in enumerate(value))


_COUNT = Number(0, MAX_TOKENS, whole=True).read
_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "chat_template": read_text,
    "context_shift": _read_shift,
    "ubatch_size": _COUNT,
    "prefill_chunk": _COUNT,
    "prefill_factor": Number(1, 1000, above=True).read,
    "kv_cells": _COUNT,
    "cache_type_k": _choice(*CACHE_TYPES),
    "cache_type_v": _choice(*CACHE_TYPES),
    "flash_attention": _choice(*FLASH_ATTENTION),
    "mmap": read_bool,
    "offload_kqv": read_bool,
    "threads_batch": Number(0, 4096, whole=True).read,
    "main_gpu": Number(0, MAX_DEVICES - 1, whole=True).read,
    "tensor_split": _read_split,
}

OPTIONS = frozenset(field.name for field in fields(LlamaOptions))
