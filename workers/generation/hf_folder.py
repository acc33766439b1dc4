"""The JSON files beside a model in the layout of the Hugging Face hub."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .checks import is_list, is_map
from .hf_tokenizer import token_text


def read_json(path: Path | None) -> dict[str, Any]:
    """Return a JSON object; an absent file is an empty one. Raises `OSError` and `ValueError`."""
    if path is None:
        return {}
    value = json.loads(path.read_text(encoding="utf-8"))
    if not is_map(value):
        raise ValueError(f"{path}: expected an object, found {type(value).__name__}")
    return dict(value)


def end_token_ids(*configs: Mapping[str, Any]) -> set[int]:
    """Return the end tokens that `generation_config.json` or `config.json` name: one or a list."""
    found: set[int] = set()
    for config in configs:
        value = config.get("eos_token_id")
        entries = value if is_list(value) else [value]
        found.update(entry for entry in entries if isinstance(entry, int) and not isinstance(entry, bool))
    return found


def template_sources(config: Mapping[str, Any], jinja: Path | None) -> dict[str, str]:
    """Return the chat templates by name: from `chat_template.jinja`, else from `tokenizer_config.json`."""
    if jinja is not None:
        return {"default": jinja.read_text(encoding="utf-8")}
    given = config.get("chat_template")
    if isinstance(given, str):
        return {"default": given}
    named = [entry for entry in given if is_map(entry)] if is_list(given) else []
    return {token_text(entry.get("name")): token_text(entry.get("template")) for entry in named}


def trained_context(config: Mapping[str, Any]) -> int:
    """Return the context size of `config.json` in tokens, 0 if it names none."""
    for name in ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length"):
        value = config.get(name)
        if isinstance(value, int) and value > 0:
            return value
    return 0
