"""The ways in which the fault engine breaks its own process."""

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path

from infsup.protocol.wire import MAX_MESSAGE_BYTES, VERSION, Kind

_PAGE_PATTERN = b"\xa5"


def die_of_segfault() -> None:
    """Read address 0."""
    ctypes.string_at(0)


def die_of_sigkill() -> None:
    """Die as the kernel's out-of-memory killer would have it."""
    os.kill(os.getpid(), signal.SIGKILL)


def freeze() -> None:
    """Stop all threads of the process until somebody sends SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)


def hang() -> None:
    """Never return. The interpreter's lock is free, so the link goes on beating."""
    while True:
        threading.Event().wait(3600)


def hold_gil(seconds: float) -> None:
    """Keep the interpreter's lock: `PyDLL` does not give it back around its calls, as a bad extension would not."""
    library = ctypes.PyDLL(None)
    until = time.monotonic() + seconds
    interval = sys.getswitchinterval()
    # usleep ends early on a signal; another thread must not get a turn before the rest is slept.
    sys.setswitchinterval(seconds + 60)
    try:
        while (rest := until - time.monotonic()) > 0:
            library.usleep(max(1, int(min(rest, 1000) * 1e6)))
    finally:
        sys.setswitchinterval(interval)


def allocate(size: int) -> bytes:
    """Return `size` bytes whose pages are really there: written, not the kernel's page of zeros."""
    return _PAGE_PATTERN * size


def malformed_messages(job_id: str) -> list[list[bytes]]:
    """Return messages that a supervisor has to drop.

    None of them is a chunk of `job_id` with broken contents: chunks are opaque to the supervisor, so that one would
    reach the client and rightly break the job.
    """
    key = job_id.encode("ascii")
    chunk, beat, loaded = (bytes((VERSION, kind)) for kind in (Kind.CHUNK, Kind.BEAT, Kind.LOADED))
    return [
        [b""],
        [b"\x00"],
        [chunk],
        [bytes((99, Kind.CHUNK)), key, b"\x80"],  # another version
        [bytes((VERSION, 200)), key, b"\x80"],  # no such kind
        [bytes((VERSION, Kind.RUN)), key, b"\x80"],  # not for a worker to say
        [chunk, key, b"\x80", b"", b"", b""],  # too many frames
        [chunk, b"\xff\xfe", b"\x80"],  # a key that is not ASCII
        [chunk, b"k" * 1000, b"\x80"],  # a key that is too long
        [chunk, b"job-of-nobody", b"\xc1"],  # msgpack that does not exist, for a job that does not
        [beat, b"", b"\xc1"],
        [beat, b"", b"\x93\x01\x02\x03"],  # a list where a map belongs
        [loaded, b"", b"\x81\xa5tasks\x01"],  # a field of the wrong type
    ]


def oversize_messages() -> list[list[bytes]]:
    """Return messages over the size limit: one whose frames exceed it together, and one with a frame that does alone.

    ZeroMQ drops the second one's connection; the worker's socket makes a new one by itself.
    """
    chunk, half = bytes((VERSION, Kind.CHUNK)), bytes(MAX_MESSAGE_BYTES // 2)
    return [[chunk, b"job-of-nobody", half, half], [chunk, b"job-of-nobody", bytes(MAX_MESSAGE_BYTES + 1)]]


def take_order(path: Path) -> str:
    """Return the text of a file and remove it; "" when there is none, or another process was first."""
    try:
        order = path.read_text(encoding="utf-8").strip()
        path.unlink()
    except FileNotFoundError:
        return ""
    return order
