"""A program that found the server's sockets and sends what it should not."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import zmq

from infsup.protocol.wire import pack

_VERSION = 1
_KINDS_OF_CLIENTS, _KINDS_OF_WORKERS = (1, 2, 3, 5, 7, 10, 13, 14, 20, 22), (11, 12, 13, 14, 15, 30, 31, 32, 33, 34)
_CANCEL_JOB, _ACK = 2, 3
_CHUNK, _DONE, _FAILED, _CANCELLED, _BOUNCED = 12, 13, 14, 15, 34
_MOST_BYTES = 64 * 1024 * 1024
_SOCKETS = ("jobs", "workers")
_LINGER_MS = 2000


def send_garbage(runtime: Path, seed: int) -> None:
    """Send 200 malformed messages to each socket. Blocks for at most 2 s."""
    dice = random.Random(seed)
    for name, kinds in zip(_SOCKETS, (_KINDS_OF_CLIENTS, _KINDS_OF_WORKERS), strict=True):
        _send(runtime, name, (list(_garbage(dice, kinds)) for _ in range(200)))


def send_oversize(runtime: Path) -> None:
    """Send one frame over the limit, three frames that exceed it together, and a message of a thousand frames."""
    head = bytes((_VERSION, _CHUNK))
    for name in _SOCKETS:
        _send(runtime, name, [[head, b"", bytes(_MOST_BYTES + 1)]])
        _send(runtime, name, [[head, b"", bytes(_MOST_BYTES // 2), bytes(_MOST_BYTES // 2)], [b"x"] * 1000])


def meddle(runtime: Path, jobs: Sequence[str]) -> None:
    """Try to cancel, acknowledge and answer jobs of others."""
    body = pack({"chunks": 1_000_000, "size": 0, "text": "not yours"})
    mine = (_CANCEL_JOB, _ACK)
    workers = (_CHUNK, _DONE, _FAILED, _CANCELLED, _BOUNCED)
    for name, kinds in zip(_SOCKETS, (mine, workers), strict=True):
        _send(runtime, name, ([bytes((_VERSION, kind)), job.encode(), body] for job in jobs for kind in kinds))


def _garbage(dice: random.Random, kinds: Sequence[int]) -> Iterator[bytes]:
    roll = dice.random()
    if roll < 0.5:  # a message that begins well
        yield bytes((_VERSION, dice.choice(kinds)))
        yield dice.choice((b"", b"job-0123456789abcdef", b"\xff\xfe", b"k" * 500))
        yield b"\xc1" + dice.randbytes(dice.randint(0, 2000))  # msgpack never begins so
    else:
        for _ in range(dice.randint(1, 6)):
            yield dice.randbytes(dice.choice((0, 1, 2, 16, 1000)))


def _send(runtime: Path, name: str, messages: "Iterator[list[bytes]] | Sequence[list[bytes]]") -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, _LINGER_MS)
        socket.setsockopt(zmq.SNDTIMEO, _LINGER_MS)
        socket.connect(f"ipc://{runtime / name}")
        for message in messages:
            socket.send_multipart(message)
