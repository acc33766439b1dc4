"""Prompts and stop strings, which OpenAI allows in several shapes."""

import re
from typing import Any

from infsup.gateway.body import is_array
from infsup.protocol.errors import InfsupError, InvalidRequest

from .schemas import MAX_STOPS
from .validation import refusal

Prompt = str | list[int]
MAX_PROMPTS = 64
_PROMPT_SHAPES = "a string, an array of strings, an array of token ids or an array of such arrays"


def read_prompts(value: object) -> list[Prompt]:
    """Return the prompts, each a text or a list of token ids. Raises `InvalidRequest` naming e.g. `prompt[2]`."""
    if isinstance(value, str):
        return [value]
    if not is_array(value):
        raise refusal("prompt", value, _PROMPT_SHAPES)
    entries = value
    if not entries:
        raise InvalidRequest(
            "prompt: found an empty array, allowed are at least one prompt or token id", param="prompt"
        )
    if _is_number(entries[0]):
        return [_token_ids(entries, "prompt")]
    if len(entries) > MAX_PROMPTS:
        raise InvalidRequest(
            f"prompt: found an array of {len(entries)}, allowed are up to {MAX_PROMPTS} prompts", param="prompt"
        )
    texts = isinstance(entries[0], str)
    prompts: list[Prompt] = []
    for i, entry in enumerate(entries):
        if texts and isinstance(entry, str):
            prompts.append(entry)
        elif not texts and is_array(entry):
            prompts.append(_token_ids(entry, f"prompt[{i}]"))
        else:
            raise refusal(f"prompt[{i}]", entry, f"what makes prompt {_PROMPT_SHAPES}")
    return prompts


def locate_prompt(error: InfsupError, number: int) -> InfsupError:
    """Let an error about `prompt` say which of several it means."""
    if error.param == "prompt":
        error.param = f"prompt[{number}]"
        error.message = re.sub(r"^prompt\b", error.param, error.message)
    return error


def read_stop(value: object) -> list[str]:
    """Return the stop strings. Raises `InvalidRequest` naming e.g. `stop[1]`."""
    if isinstance(value, str):
        return [_stop(value, "stop")]
    if not is_array(value):
        raise refusal("stop", value, "a string or an array of strings")
    entries = value
    if len(entries) > MAX_STOPS:
        raise InvalidRequest(
            f"stop: found an array of {len(entries)}, allowed are up to {MAX_STOPS} strings", param="stop"
        )
    return [_stop(entry, f"stop[{i}]") for i, entry in enumerate(entries)]


def _stop(value: object, path: str) -> str:
    if not isinstance(value, str) or not value:
        raise refusal(path, value, "a string of at least one character")
    return value


def _token_ids(entries: list[Any], path: str) -> list[int]:
    if not entries:
        raise InvalidRequest(f"{path}: found an empty array, allowed is at least one token id", param=path)
    for i, entry in enumerate(entries):
        if not _is_number(entry) or not 0 <= entry < 2**31:
            raise refusal(f"{path}[{i}]", entry, "a token id, as all the others")
    return entries


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
