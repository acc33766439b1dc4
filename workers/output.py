"""What one job says: its chunks, and its last word exactly once."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from infsup.protocol.errors import EngineFailure, InfsupError
from infsup.protocol.job import Job
from infsup.protocol.wire import MAX_MESSAGE_BYTES, Kind, Packet, WireError, join, pack

from .engine import JobCancelled

log = logging.getLogger("infsup.worker")

MERGE_SECONDS = 0.25
"""At most one chunk in this time for a job whose client does not stream."""

_MAX_BODY_BYTES = MAX_MESSAGE_BYTES - 1024
_MERGEABLE = frozenset({"text", "tokens", "index", "prompt_tokens"})


def merge(pieces: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Join the texts and add up the tokens of text pieces with the same `index`; other pieces stay as they are.

    The order within an index is kept, that between indices is not.
    """
    merged: list[dict[str, Any]] = []
    texts: list[list[str]] = []  # of each of `merged`, joined at the end: there may be very many
    open_at: dict[Any, int] = {}
    for piece in pieces:
        index = piece.get("index", 0)
        at = open_at.get(index)
        if not _is_text(piece):
            merged.append(dict(piece))
            texts.append([])
            open_at.pop(index, None)  # what follows must not slip before it
        elif at is None:
            open_at[index] = len(merged)
            merged.append(dict(piece))
            texts.append([piece.get("text", "")])
        else:
            texts[at].append(piece.get("text", ""))
            merged[at]["tokens"] = merged[at].get("tokens", 0) + piece.get("tokens", 0)
            if "prompt_tokens" in piece:
                merged[at]["prompt_tokens"] = piece["prompt_tokens"]
    for target, parts in zip(merged, texts, strict=True):
        if len(parts) > 1:
            target["text"] = "".join(parts)
    return merged


def _is_text(piece: Mapping[str, Any]) -> bool:
    return (
        _MERGEABLE.issuperset(piece)
        and isinstance(piece.get("text", ""), str)
        and isinstance(piece.get("tokens", 0), int)
        and isinstance(piece.get("index", 0), int)
    )


@dataclass(slots=True)
class _SoFar:
    """The first choice's text and the counts of tokens in the pieces that were added."""

    texts: list[str] = field(default_factory=list[str])
    tokens: int = 0
    prompt_tokens: int | None = None

    def add(self, data: Mapping[str, Any]) -> None:
        """Take a piece; what is not well-formed in it counts as nothing."""
        text, tokens, prompt = data.get("text"), data.get("tokens"), data.get("prompt_tokens")
        if isinstance(text, str) and text and data.get("index", 0) == 0:
            self.texts.append(text)
        if isinstance(tokens, int):
            self.tokens += tokens
        if isinstance(prompt, int):
            self.prompt_tokens = prompt

    def to_map(self) -> dict[str, Any]:
        """Return it as a client gets it."""
        if not self.texts:
            return {}
        usage = {"completion_tokens": self.tokens}
        if self.prompt_tokens is not None:
            usage["prompt_tokens"] = self.prompt_tokens
        return {"text": "".join(self.texts), "usage": usage}


class JobOutput:
    """Sends what a job says. `flush` may be called from another thread; nothing follows the last word.

    Pieces of a streaming job are sent at once. Of other jobs the supervisor keeps them only in case the job breaks
    off, so they are merged; the link flushes them at its beats.
    """

    def __init__(
        self, job: Job, send: Callable[[list[bytes]], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`send` takes the frames of one message; `clock` is in seconds."""
        self._job = job
        self._send = send
        self._clock = clock
        self._lock = threading.Lock()
        self._held: list[Mapping[str, Any]] = []
        self._sent_at = 0.0
        self._ended = False
        self._so_far = _SoFar()

    @property
    def partial(self) -> dict[str, Any]:
        """What there is so far of the first choice, `{"text": str, "usage": {...}}`; empty without text."""
        with self._lock:
            so_far = replace(self._so_far, texts=[*self._so_far.texts])
            for data in merge(self._held):
                so_far.add(data)
            return so_far.to_map()

    def piece(self, data: Mapping[str, Any]) -> None:
        """Send a piece, now or merged with later ones. Raises `EngineFailure` when it cannot be sent."""
        with self._lock:
            if self._job.stream:
                self._so_far.add(data)
                self._send_chunk(data)
                return
            self._held.append(data)
            if self._clock() - self._sent_at >= MERGE_SECONDS:
                self._flush()

    def flush(self) -> None:
        """Send what is held back, unless the job has ended. Raises `EngineFailure`."""
        with self._lock:
            if not self._ended:
                self._flush()

    def done(self, result: Mapping[str, Any]) -> None:
        """End with a result. Raises `EngineFailure` when it cannot be sent; then the job has not ended."""
        self._end(Packet(Kind.DONE, self._job.id, _packed(result, "result")))

    def failed(self, error: InfsupError) -> None:
        """End with an error; it takes the text so far with it."""
        if error.partial is None:
            error.partial = self.partial or None
        self._end(error_packet(Kind.FAILED, self._job.id, error))

    def ended_by(self, error: Exception, engine: str) -> None:
        """End by what an engine raised; an error that is none of `protocol.errors` is logged and is its failure."""
        if isinstance(error, JobCancelled):
            self.cancelled()
        elif isinstance(error, InfsupError):
            self.failed(error)
        else:
            log.error("job %s failed", self._job.id, exc_info=error)
            self.failed(EngineFailure(f"{engine}: {type(error).__name__}: {error}"))

    def cancelled(self) -> None:
        """End as cancelled, with the text so far."""
        try:
            body = pack(self.partial)
        except WireError:
            body = b""
        self._end(Packet(Kind.CANCELLED, self._job.id, body))

    def _end(self, packet: Packet) -> None:
        with self._lock:
            self._held.clear()  # the last word holds it all
            self._ended = True
            self._send(join(packet))

    def _flush(self) -> None:
        held, self._held = self._held, []
        for data in merge(held):
            self._so_far.add(data)
            self._send_chunk(data)
        if held:
            self._sent_at = self._clock()

    def _send_chunk(self, data: Mapping[str, Any]) -> None:
        self._send(join(Packet(Kind.CHUNK, self._job.id, _packed(data, "piece"))))


def error_packet(kind: Kind, key: str, error: InfsupError) -> Packet:
    """Return FAILED or LOAD_FAILED with an error; what cannot be packed of it is left out."""
    try:
        return Packet(kind, key, pack(error.to_wire()))
    except WireError:  # odd details, or text that is not Unicode: the message alone must do
        message = error.message.encode("utf-8", "replace").decode("utf-8")
        return Packet(kind, key, pack(type(error)(message).to_wire()))


def _packed(data: Mapping[str, Any], what: str) -> bytes:
    try:
        body = pack(data)
    except WireError as error:
        raise EngineFailure(f"the engine's {what} {error}") from error
    if len(body) > _MAX_BODY_BYTES:
        raise EngineFailure(f"the engine's {what} has {len(body)} bytes, allowed are {_MAX_BODY_BYTES}")
    return body
