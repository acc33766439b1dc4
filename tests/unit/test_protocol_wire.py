"""The wire format and the typed messages on it."""

import math

import pytest

from infsup.protocol.errors import BY_CODE, InfsupError, InvalidRequest, QueueFull, from_wire
from infsup.protocol.job import JobHeader
from infsup.protocol.messages import (
    Ack,
    Beat,
    Chunk,
    Done,
    Failed,
    LoadOrder,
    Queued,
    decode,
    encode,
    failed_packet,
    read_event,
    read_run,
    read_submit,
    run_packet,
    submit_packet,
)
from infsup.protocol.spec import DeviceSpec, ModelSpec
from infsup.protocol.wire import MAX_MESSAGE_BYTES, Kind, Packet, WireError, join, pack, split, unpack_map


@pytest.mark.parametrize("packet", [
    Packet(Kind.CLIENT_BEAT),
    Packet(Kind.CANCEL_JOB, "job-1"),
    Packet(Kind.CHUNK, "job-1", b"\x81\xa4text\xa1a"),
    Packet(Kind.SUBMIT, "job-1", b"head", b"params"),
    Packet(Kind.SUBMIT, "job-1", b"", b"params"),
])  # fmt: skip
def test_split_undoes_join(packet: Packet) -> None:
    assert split(join(packet)) == packet


@pytest.mark.parametrize("frames", [
    [],
    [b"\x01\x0c"],
    [b"\x01\x0c", b"k", b"", b"", b""],
    [b"\x02\x0c", b"k"],
    [b"\x01\xff", b"k"],
    [b"", b"k"],
    [b"\x01\x0c", b"\xff"],
    [b"\x01\x0c", b"k" * 129],
])  # fmt: skip
def test_split_malformed_frames_raise_wire_error(frames: list[bytes]) -> None:
    with pytest.raises(WireError):
        split(frames)


def test_split_oversized_message_is_refused() -> None:
    with pytest.raises(WireError, match="over"):
        split([b"\x01\x0c", b"k", bytes(MAX_MESSAGE_BYTES)])


@pytest.mark.parametrize("body", [b"\xc1", b"\x81", b"\x01", b"\x93\x01\x02\x03", b"\x81\x01\x02", b"\xd9"])
def test_unpack_map_of_anything_else_raises_wire_error(body: bytes) -> None:
    with pytest.raises(WireError):
        unpack_map(body)


def test_pack_what_msgpack_cannot_hold_raises_wire_error() -> None:
    for value in (object(), 2**70, {"x": {1, 2}}):
        with pytest.raises(WireError):
            pack(value)


def test_messages_survive_the_wire() -> None:
    spec = ModelSpec("m", "text-completion", "fault", device=DeviceSpec(cpu_threads=2), options={"a": [1, {"b": 2.5}]})
    for message in (Beat("decode", 3, 100), Ack(2, 30), Queued(1), LoadOrder("m-1", spec)):
        assert decode(type(message), encode(message, "k")) == message


@pytest.mark.parametrize("fields", [
    {},
    {"phase": "idle"},
    {"phase": 3, "progress": 1},
    {"phase": "idle", "progress": True},
    {"phase": "idle", "progress": "1"},
    {"phase": "idle", "progress": 1, "rss_anon": None},
])  # fmt: skip
def test_decode_wrong_fields_name_the_field(fields: dict[str, object]) -> None:
    with pytest.raises(WireError, match=r"Beat\.(phase|progress|rss_anon)"):
        decode(Beat, Packet(Kind.BEAT, "", pack(fields)))


def test_submit_and_run_carry_the_parameters_packed() -> None:
    header = JobHeader("job-1", "m", "text-completion", prefix=(b"\x00\xff", b"b"), timeout=2)
    packet = submit_packet(header, pack({"prompt": "hi"}))
    assert read_submit(packet) == header
    job = read_run(run_packet(header, packet.extra, 1.5))
    assert (job.id, job.timeout, job.params) == ("job-1", 1.5, {"prompt": "hi"})


def test_read_submit_with_another_key_is_refused() -> None:
    packet = submit_packet(JobHeader("job-1", "m", "t"), b"")
    with pytest.raises(WireError, match="key"):
        read_submit(Packet(packet.kind, "job-2", packet.body))


@pytest.mark.parametrize("changes", [
    {"id": ""}, {"id": "ä"}, {"id": "x" * 65}, {"priority": 11}, {"priority": -11}, {"timeout": -1.0},
    {"timeout": math.nan}, {"timeout": math.inf}, {"keep_alive": math.nan},
])  # fmt: skip
def test_header_check_names_the_field(changes: dict[str, object]) -> None:
    header = JobHeader(**{"id": "job-1", "model": "m", "task": "t", **changes})  # type: ignore[arg-type] # on purpose
    with pytest.raises(InvalidRequest) as caught:
        header.check()
    assert caught.value.param == next(iter(changes))


@pytest.mark.parametrize("cls", BY_CODE.values())
def test_errors_survive_the_wire(cls: type[InfsupError]) -> None:
    error = cls("why", param="p", retry_after=1.5, partial={"text": "x"}, final=True, details={"n_ctx": 5})
    back = from_wire(unpack_map(pack(error.to_wire())))
    assert type(back) is cls
    assert back.__dict__ == error.__dict__


@pytest.mark.parametrize("wire", [None, 3, [], {}, {"code": "nonsense"}, {"code": 3, "partial": 1, "details": 2}])
def test_from_wire_of_nonsense_is_an_engine_error(wire: object) -> None:
    assert from_wire(wire).code == "engine_error"


def test_error_body_has_the_openai_shape() -> None:
    body = QueueFull("full", retry_after=3, details={"waiting": 7}).to_body()
    assert body == {
        "error": {"message": "full", "type": "rate_limit_error", "param": None, "code": "queue_full", "waiting": 7}
    }


def test_read_event_gives_each_its_class() -> None:
    assert read_event(Packet(Kind.CHUNK, "j", pack({"text": "a"}))) == Chunk({"text": "a"}, 8)
    assert read_event(Packet(Kind.DONE, "j", pack({"x": 1}))) == Done({"x": 1})
    failed = read_event(failed_packet("j", QueueFull("full")))
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, QueueFull)
    with pytest.raises(WireError):
        read_event(Packet(Kind.BEAT, "j"))
