"""What a `config.json` in the layout of the Hugging Face hub says about its model, read without any library."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from .gguf_facts import Facts
from .gguf_head import GgufError, opened

_MAX_BYTES = 4_000_000
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length")
_INNER_KEYS = ("text_config", "llm_config")
"""Where models that also see or hear keep the description of their language model."""


class ConfigJsonError(Exception):
    """The file cannot be used; the message says which file and why."""


def read_config_json(path: Path) -> Facts:
    """Return the facts of a text model; what the file does not tell is 0. Raises `ConfigJsonError`."""
    try:
        with opened(path) as stream:
            content = stream.read(_MAX_BYTES + 1)
        value: object = json.loads(content) if len(content) <= _MAX_BYTES else None
    except OSError as error:
        raise ConfigJsonError(f"{path}: {error.strerror or error}") from error
    except (GgufError, ValueError, RecursionError) as error:
        raise ConfigJsonError(f"{path}: {error}") from None
    if not isinstance(value, dict):
        raise ConfigJsonError(f"{path}: found other than a JSON object of at most {_MAX_BYTES} bytes")
    return _facts(cast("dict[str, Any]", value))


def _facts(config: Mapping[str, Any]) -> Facts:
    inner: object = next((config[key] for key in _INNER_KEYS if isinstance(config.get(key), dict)), config)
    values = cast("Mapping[str, Any]", inner)
    layers = _number(values, "num_hidden_layers", "n_layer", "num_layers")
    heads = _number(values, "num_attention_heads", "n_head")
    width = _number(values, "hidden_size", "n_embd", "d_model")
    kv_heads = _number(values, "num_key_value_heads") or heads
    length = _number(values, "head_dim") or (width // heads if heads else 0)
    kind = values.get("model_type")
    return Facts(
        architecture=kind if isinstance(kind, str) else "",
        context_length=_number(values, *_CONTEXT_KEYS),
        block_count=layers,
        embedding_length=width,
        head_count=heads,
        head_count_kv=kv_heads,
        kv_heads=kv_heads * layers,
        key_length=length,
        value_length=length,
        vocabulary=_number(values, "vocab_size"),
    )


def _number(values: Mapping[str, Any], *names: str) -> int:
    """Return the first of these that is a natural number, else 0."""
    found = (values.get(name) for name in names)
    return next((one for one in found if isinstance(one, int) and not isinstance(one, bool) and one > 0), 0)
