"""The hash chain of a request's context: a hint by which the scheduler finds the instance that has read most of it.

Two requests share exactly the entries of the context that they share. Only a hint: engines compare tokens.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

MAX_ENTRIES = 64
"""A longer context is told apart by its first entries: what follows belongs to the same conversation."""
BLOCK_CHARS = 256
BLOCK_TOKENS = 64
_DIGEST_BYTES = 16
_MESSAGE_KEYS = ("role", "name", "content", "tool_calls", "tool_call_id")


def chat_chain(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> tuple[bytes, ...]:
    """Return the chain of a chat: one entry a message, over role, content, tool calls and, from the start, tools."""
    return _chain(
        _canonical(["chat", list(tools)]),
        (_canonical([message.get(key) for key in _MESSAGE_KEYS]) for message in messages[:MAX_ENTRIES]),
    )


def prompt_chain(prompt: str | Sequence[int]) -> tuple[bytes, ...]:
    """Return the chain of a prompt: one entry for each block of text or of tokens; the last block may be shorter."""
    size = BLOCK_CHARS if isinstance(prompt, str) else BLOCK_TOKENS
    starts = range(0, min(len(prompt), size * MAX_ENTRIES), size)
    start = b"text" if isinstance(prompt, str) else b"tokens"
    return _chain(start, (_canonical(prompt[at : at + size]) for at in starts))


def _chain(start: bytes, entries: Iterable[bytes]) -> tuple[bytes, ...]:
    chain: list[bytes] = []
    digest = blake2b(start, digest_size=_DIGEST_BYTES).digest()
    for entry in entries:
        digest = blake2b(digest + entry, digest_size=_DIGEST_BYTES).digest()
        chain.append(digest)
    return tuple(chain)


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
