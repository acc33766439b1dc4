"""How likely an answer's tokens were: from what workers send to the two shapes that OpenAI's API has for it."""

from collections.abc import Mapping, Sequence
from typing import Any

from infsup.gateway.body import is_array, is_object

Logprobs = Sequence[Mapping[str, Any]]
"""Entries of tokens: `token`, `bytes`, `logprob` (None for a prompt's first token), `top` (such maps), `offset`."""


def read_logprobs(data: Mapping[str, Any]) -> Logprobs | None:
    """Return the entries in a piece or a choice; None if it has none, or something else."""
    entries = data.get("logprobs")
    if not is_array(entries):
        return None
    return [{**entry, "top": _maps(entry.get("top"))} for entry in _maps(entries)]


def chat_shape(entries: Logprobs | None) -> dict[str, Any] | None:
    """Return a chat choice's `logprobs`."""
    if entries is None:
        return None
    content = [{**_named(entry), "top_logprobs": [_named(top) for top in entry["top"]]} for entry in entries]
    return {"content": content, "refusal": None}


def text_shape(entries: Logprobs | None) -> dict[str, Any] | None:
    """Return a completion choice's `logprobs`."""
    if entries is None:
        return None
    return {
        "tokens": [entry.get("token", "") for entry in entries],
        "token_logprobs": [entry.get("logprob") for entry in entries],
        "top_logprobs": [_tops(entry) for entry in entries],
        "text_offset": [entry.get("offset", 0) for entry in entries],
    }


def _maps(value: object) -> list[Mapping[str, Any]]:
    return [entry for entry in value if is_object(entry)] if is_array(value) else []


def _named(entry: Mapping[str, Any]) -> dict[str, Any]:
    raw = entry.get("bytes")
    return {
        "token": entry.get("token", ""),
        "logprob": entry.get("logprob"),
        "bytes": list(raw) if isinstance(raw, bytes) else None,
    }


def _tops(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the likeliest tokens by their texts; of several with one text the likeliest counts."""
    if entry.get("logprob") is None:
        return None
    tops: dict[str, Any] = {}
    for top in entry["top"]:
        tops.setdefault(top.get("token", ""), top.get("logprob"))
    return tops
