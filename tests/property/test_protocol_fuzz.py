"""Whatever bytes arrive: a message, or a `WireError`."""

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from infsup.protocol.errors import from_wire
from infsup.protocol.messages import Ack, Beat, Hello, Loaded, LoadOrder, decode, read_event, read_run, read_submit
from infsup.protocol.wire import Kind, Packet, WireError, join, pack, split, unpack

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
bodies = st.binary(max_size=64) | plain.map(pack)


@given(st.lists(st.binary(max_size=64), max_size=6))
def test_split_any_frames_raises_only_wire_error(frames: list[bytes]) -> None:
    with contextlib.suppress(WireError):
        split(frames)


@given(st.sampled_from(Kind), st.text("abc-123", max_size=20), bodies, bodies)
def test_reading_any_body_raises_only_wire_error(kind: Kind, key: str, body: bytes, extra: bytes) -> None:
    packet = split(join(Packet(kind, key, body, extra)))
    for read in (read_event, read_submit, read_run):
        with contextlib.suppress(WireError):
            read(packet)
    for cls in (Ack, Beat, Hello, Loaded, LoadOrder):
        with contextlib.suppress(WireError):
            decode(cls, packet)


@given(plain)
def test_pack_and_unpack_are_inverse(value: Any) -> None:
    assert unpack(pack(value)) == value


@given(plain)
def test_from_wire_never_raises(value: Any) -> None:
    from_wire(value)
