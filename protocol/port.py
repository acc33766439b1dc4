"""A plain ZeroMQ socket in an asyncio loop, drained without blocking.

`zmq.asyncio` costs five times as much CPU per message. ZMQ_FD is edge-triggered: the socket's events must be read
again after every send and after every drain, or a message waits until the next one comes.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

import zmq

log = logging.getLogger("infsup.port")

BATCH = 256
"""Messages handled in one turn of the loop, so that a flood from one peer starves nothing else."""


class Port:
    """Owns one socket. `on_frames` gets each message's frames, in the loop, and must not raise."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], kind: int, on_frames: Callable[[list[bytes]], None]
    ) -> None:
        """Make the socket; it does nothing until `start`. No queue limit when sending: credit bounds what is sent."""
        self._socket = context.socket(kind)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        if kind == zmq.ROUTER:
            self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
            # A peer whose connection ZeroMQ dropped (an oversize frame) may be back before the old one is forgotten: it
            # would be ignored for ever. Identities are random, so nobody else takes over a connection.
            self._socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._on_frames = on_frames
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn: asyncio.Handle | None = None
        self._fd = -1

    @property
    def socket(self) -> "zmq.Socket[bytes]":
        """The socket, to set options on before `start`."""
        return self._socket

    def start(self, *, bind: str = "", connect: str = "", identity: bytes = b"") -> None:
        """Bind or connect and begin to read in the running loop. Raises `zmq.ZMQError` (e.g. address in use)."""
        if identity:
            self._socket.setsockopt(zmq.ROUTING_ID, identity)
        if bind:
            self._socket.bind(bind)
        if connect:
            self._socket.connect(connect)
        self._loop = asyncio.get_running_loop()
        self._fd = int(self._socket.getsockopt(zmq.FD))
        self._loop.add_reader(self._fd, self._drain)
        self._wake()

    def send(self, frames: Sequence[bytes]) -> bool:
        """Queue a message without blocking; false when the peer is gone (or the port closed)."""
        if self._socket.closed:
            return False
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno in {zmq.EHOSTUNREACH, zmq.EAGAIN}:
                return False
            raise
        if self._turn is None and self._readable():
            self._wake()
        return True

    def drain_now(self) -> None:
        """Handle what has arrived, now: before a decision that a message already here would change."""
        self._drain()

    def close(self, linger: float = 0.0) -> None:
        """Stop reading and close; messages already sent get up to `linger` seconds to leave."""
        if self._socket.closed:
            return
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._socket.close(linger=int(linger * 1000))

    def _readable(self) -> bool:
        return bool(int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)

    def _wake(self) -> None:
        if self._turn is None and self._loop is not None:
            self._turn = self._loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._turn = None
        self._drain()

    def _drain(self) -> None:
        for _ in range(BATCH):
            if self._socket.closed:
                return
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            try:
                self._on_frames(frames)
            except Exception:  # whatever it is, the messages behind it must not wait until the next one comes
                log.exception("a message could not be handled")
        if not self._socket.closed and self._readable():
            self._wake()
