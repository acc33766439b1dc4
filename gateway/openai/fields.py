"""Fields of other servers' APIs: which are taken without effect, and which are refused rather than ignored."""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from infsup.protocol.errors import UnsupportedParameter

HARMLESS = frozenset({
    "user", "store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
    "prompt_cache_options", "reasoning_effort", "verbosity", "cache_prompt",
})  # fmt: skip
"""They change nothing about the answer that this server could give."""

NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "suffix": ("",),
    "timings_per_token": (False,),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "moderation": (),
    "samplers": (),
    "id_slot": (-1,),
}
"""Fields that would need support which is not there, and the values at which they ask for nothing."""


def drop_foreign(body: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Return the body without its nulls and without the fields that ask for nothing.

    Raises `UnsupportedParameter` for a field that would have to be ignored, known elsewhere or not.
    """
    names = frozenset(known)
    kept: dict[str, Any] = {}
    for name, value in body.items():
        if value is None or name in HARMLESS:
            continue
        if name in names:
            kept[name] = value
        elif not _asks_for_nothing(name, value):
            raise UnsupportedParameter(_refusal(name, names), param=name[:80])
    return kept


def _asks_for_nothing(name: str, value: object) -> bool:
    # True == 1 in Python; in a request they are different things.
    return any(
        value == neutral and isinstance(value, bool) == isinstance(neutral, bool) for neutral in NEUTRAL.get(name, ())
    )


def _refusal(name: str, known: Iterable[str]) -> str:
    if name in NEUTRAL:
        values = NEUTRAL[name]
        allowed = f"; allowed is {' or '.join(map(json.dumps, values))}" if values else ""
        return f"{name} is not supported by this server{allowed}"
    close = difflib.get_close_matches(name[:40], sorted(known), n=1)
    hint = f", did you mean {close[0]}?" if close else ""
    return f"{name[:80]} is not a parameter of this call{hint}"
