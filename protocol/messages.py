"""The messages, one small frozen class each; `encode` and `decode_*` are the edge between them and packets.

A job's chunks and results are opaque to the supervisor: it forwards the packets as they are and reads only kind and
key. So there are no classes for the supervisor's side of CHUNK and DONE.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import InfsupError, from_wire
from .fields import from_map, to_map
from .job import Job, JobHeader
from .spec import ModelSpec
from .wire import Kind, Packet, WireError, pack, unpack_map


@dataclass(frozen=True, slots=True)
class Hello:
    """First words of a worker: its pid, engine name and the interpreter's version."""

    pid: int
    engine: str
    python: str = ""


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """What a worker is to load and how it is to behave; all times are in seconds.

    It beats every `beat_interval` and leaves by itself when its beats stay unanswered for `orphan_timeout`.
    """

    instance: str
    model: ModelSpec
    beat_interval: float = 1.0
    orphan_timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a worker has loaded: the tasks it serves, how many jobs at once, and facts about the model.

    `info` has what the engine knows, e.g. `context_size` (tokens), `architecture`, `parameters`, `quantization`.
    """

    tasks: tuple[str, ...]
    capacity: int = 1
    device: str = "cpu"
    info: Mapping[str, Any] = field(default_factory=dict[str, Any])
    load_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life: `phase` (see PHASES), `progress` (only grows), memory in bytes, context in tokens."""

    phase: str
    progress: int
    rss_anon: int = 0
    context_used: int = 0
    note: str = ""


PHASES = ("starting", "load", "idle", "prefill", "decode", "opaque", "waiting")
"""What a worker is doing; each has its own limit for no progress."""


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Cancel a job; after `grace` seconds the worker is ended if the job still runs."""

    grace: float
    reason: str = "cancelled"


@dataclass(frozen=True, slots=True)
class Ack:
    """How much of a stream the client has consumed since its last word: chunks, and bytes of their bodies."""

    chunks: int
    size: int


@dataclass(frozen=True, slots=True)
class Queued:
    """Job event: it waits; `position` 0 is next. Sent again when the position has changed, at most once a second."""

    position: int


@dataclass(frozen=True, slots=True)
class Started:
    """Job event: the instance with this id has it (again, after a crash: a second `Started`)."""

    instance: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Job event: a piece of the answer. `data` depends on the task; text has `text`, `tokens` and sometimes more."""

    data: Mapping[str, Any]
    size: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """Job event, last: the result; what it holds depends on the task."""

    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """Job event, last: the error."""

    error: InfsupError


@dataclass(frozen=True, slots=True)
class CancelledEvent:
    """Job event, last: cancelled on request; `partial` is what there was (`{"text": …, "usage": …}`)."""

    partial: Mapping[str, Any] = field(default_factory=dict[str, Any])


JobEvent = Queued | Started | Chunk | Done | Failed | CancelledEvent
FINAL_EVENTS = (Done, Failed, CancelledEvent)

_BODY_KINDS: Mapping[type, Kind] = {
    Hello: Kind.HELLO,
    LoadOrder: Kind.LOAD,
    Loaded: Kind.LOADED,
    Beat: Kind.BEAT,
    CancelOrder: Kind.CANCEL,
    Ack: Kind.ACK,
    Queued: Kind.QUEUED,
    Started: Kind.STARTED,
}


def encode(message: Any, key: str = "") -> Packet:
    """Return the packet of a message whose body is a map of its fields. Raises `WireError` if it cannot be packed."""
    return Packet(_BODY_KINDS[type(message)], key, pack(to_map(message)))


def decode(cls: type[Any], packet: Packet) -> Any:
    """Read the body of a packet as `cls`. Raises `WireError` naming what is wrong."""
    return from_map(cls, unpack_map(packet.body))


def submit_packet(header: JobHeader, params: bytes) -> Packet:
    """Return SUBMIT: the header as a map, the packed parameters beside it."""
    return Packet(Kind.SUBMIT, header.id, pack(to_map(header)), params)


def read_submit(packet: Packet) -> JobHeader:
    """Read the header of SUBMIT. Raises `WireError`, also when its id is not the packet's key."""
    header = from_map(JobHeader, unpack_map(packet.body))
    if header.id != packet.key:
        raise WireError("the job's id is not the message's key")
    return header


def run_packet(header: JobHeader, params: bytes, timeout: float | None, token: str = "") -> Packet:
    """Return RUN for a worker; `timeout` is what is left of the job's time, in seconds; `token` as in `Job`."""
    body = {"model": header.model, "task": header.task, "timeout": timeout, "stream": header.stream, "token": token}
    return Packet(Kind.RUN, header.id, pack(body), params)


def read_run(packet: Packet) -> Job:
    """Read RUN. Raises `WireError`."""
    body = unpack_map(packet.body)
    return from_map(Job, {**body, "id": packet.key, "params": unpack_map(packet.extra)})


def failed_packet(job_id: str, error: InfsupError) -> Packet:
    """Return FAILED with the error's wire form."""
    return Packet(Kind.FAILED, job_id, pack(error.to_wire()))


def read_event(packet: Packet) -> JobEvent:
    """Read a job event as its client sees it. Raises `WireError`, also for a kind that is no job event."""
    body = unpack_map(packet.body)
    match packet.kind:
        case Kind.CHUNK:
            return Chunk(body, len(packet.body))
        case Kind.DONE:
            return Done(body)
        case Kind.FAILED:
            return Failed(from_wire(body))
        case Kind.CANCELLED:
            return CancelledEvent(body)
        case Kind.QUEUED:
            return from_map(Queued, body)
        case Kind.STARTED:
            return from_map(Started, body)
        case _:
            raise WireError(f"{packet.kind.name} is not a job event")
