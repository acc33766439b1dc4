"""The wire format: the only module that knows how messages look as ZeroMQ frames.

Every message is two to four frames: `head` (two bytes: protocol version, kind), `key` (job, request or empty;
ASCII), `body` (msgpack or empty) and, for jobs, `extra` (the parameters, msgpack, opaque to the supervisor).
A ROUTER puts the peer's identity in front. What cannot be read raises `WireError`, never anything else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import msgpack as _msgpack  # pyright: ignore[reportMissingTypeStubs]

msgpack: Any = _msgpack  # it has no types

VERSION = 1
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
MAX_KEY_BYTES = 128
_MIN_FRAMES, _MAX_FRAMES = 2, 4


class Kind(IntEnum):
    """What a message is. Clients send 1-9, the supervisor answers them with 10-29, workers 30-39, to workers 40-49."""

    SUBMIT = 1  # client: run a job
    CANCEL_JOB = 2  # client: cancel a job that this client submitted
    ACK = 3  # client: has consumed chunks (credit)
    CONTROL = 4  # client: a control call
    CLIENT_BEAT = 5  # client: is alive
    CLIENT_BYE = 6  # client: leaves, its jobs are to be cancelled
    CONTROL_END = 7  # client: no longer wants the rest of a control stream

    QUEUED = 10  # job event: waits at a position
    STARTED = 11  # job event: an instance has it
    CHUNK = 12  # job event: a piece of the answer
    DONE = 13  # job event, last: the result
    FAILED = 14  # job event, last: an error
    CANCELLED = 15  # job event, last: cancelled on request
    REPLY = 20  # answer to a control call, last
    REPLY_PART = 21  # one item of a control stream
    REPLY_ERROR = 22  # a control call failed, last
    SERVER_BEAT = 23  # answer to CLIENT_BEAT

    HELLO = 30  # worker: the process runs and speaks the protocol
    LOADED = 31  # worker: the model is loaded
    LOAD_FAILED = 32  # worker: the model cannot be loaded, with the error; the worker exits
    BEAT = 33  # worker: phase, progress, memory
    BOUNCED = 34  # worker: got a job while draining; requeue it

    LOAD = 40  # to a worker: which model to load
    RUN = 41  # to a worker: a job
    CANCEL = 42  # to a worker: cancel a job
    DRAIN = 43  # to a worker: finish and leave
    BEAT_ACK = 44  # to a worker: the supervisor is alive


class WireError(Exception):
    """Frames that are not a message of this protocol."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One message, its body still packed."""

    kind: Kind
    key: str = ""
    body: bytes = b""
    extra: bytes = b""


_HEADS: Mapping[Kind, bytes] = {kind: bytes((VERSION, kind)) for kind in Kind}
_KINDS: Mapping[bytes, Kind] = {head: kind for kind, head in _HEADS.items()}


def join(packet: Packet) -> list[bytes]:
    """Return the frames of a packet; trailing empty frames are left out."""
    frames = [_HEADS[packet.kind], packet.key.encode("ascii")]
    if packet.body or packet.extra:
        frames.append(packet.body)
    if packet.extra:
        frames.append(packet.extra)
    return frames


def split(frames: Sequence[bytes]) -> Packet:
    """Read the frames of one message (without a ROUTER's identity frame).

    Raises `WireError` on a wrong frame count, an unknown version or kind, an oversized message or a bad key.
    """
    if not _MIN_FRAMES <= len(frames) <= _MAX_FRAMES:
        raise WireError(f"{len(frames)} frames, expected {_MIN_FRAMES} to {_MAX_FRAMES}")
    kind = _KINDS.get(frames[0])
    if kind is None:
        raise WireError(f"unknown version or kind {frames[0][:8]!r} (this side speaks version {VERSION})")
    if len(frames[1]) > MAX_KEY_BYTES:
        raise WireError(f"key of {len(frames[1])} bytes, at most {MAX_KEY_BYTES} are allowed")
    if sum(map(len, frames)) > MAX_MESSAGE_BYTES:
        raise WireError(f"message over {MAX_MESSAGE_BYTES} bytes")
    try:
        key = frames[1].decode("ascii")
    except UnicodeDecodeError as error:
        raise WireError("key is not ASCII") from error
    return Packet(kind, key, frames[2] if len(frames) > 2 else b"", frames[3] if len(frames) > _MAX_FRAMES - 1 else b"")


def pack(value: object) -> bytes:
    """Pack plain values (None, bool, int, float, str, bytes, list, tuple, dict).

    Raises `WireError` for anything else, also for integers over 64 bits.
    """
    try:
        packed: bytes = msgpack.packb(value, use_bin_type=True)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise WireError(f"cannot be packed: {error}") from error
    return packed


def unpack(body: bytes) -> Any:
    """Unpack one msgpack value. Raises `WireError` when it is malformed."""
    try:
        return msgpack.unpackb(body, raw=False, strict_map_key=False)
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise WireError(f"malformed msgpack: {error}") from error


def unpack_map(body: bytes) -> dict[str, Any]:
    """Unpack a map with string keys; an empty body is an empty map. Raises `WireError`."""
    if not body:
        return {}
    value = unpack(body)
    if not isinstance(value, dict):
        raise WireError(f"expected a map, found {type(value).__name__}")
    fields: dict[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
    for name in fields:
        if not isinstance(name, str):
            raise WireError(f"expected string keys, found {type(name).__name__}")
    return fields
