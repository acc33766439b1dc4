"""The worker's end of the socket, in a thread of its own: it beats and takes orders while the engine is busy.

The main thread hands it messages through a deque and wakes it through a pipe, which SIGTERM writes to as well.
"""

import contextlib
import logging
import os
import platform
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NoReturn

import zmq

from infsup.protocol.errors import InvalidRequest
from infsup.protocol.messages import CancelOrder, Hello, LoadOrder, decode, encode, failed_packet, read_run
from infsup.protocol.parent import has_parent
from infsup.protocol.wire import Kind, Packet, WireError, join, split

from .desk import Accepted, Desk
from .process import EXIT_FATAL, Launch, leave_now
from .progress import Progress

log = logging.getLogger("infsup.worker")

LINGER_SECONDS = 2.0
"""How long the last messages may take to leave."""
_BATCH = 256
_FIRST_ORPHAN_SECONDS = 60.0
"""Until the order to load says how long a silence of the supervisor is borne."""


class Link:
    """Owns the socket. `send` and `round_trip` may be called from any thread; everything else is the owner's.

    The process leaves by itself when the supervisor is dead or silent: the main thread may be stuck in a library.
    """

    def __init__(self, launch: Launch, desk: Desk, progress: Progress) -> None:
        """Prepare; nothing runs before `start`. `desk` gets the jobs, `progress` is what the beats tell."""
        self.load_orders: queue.SimpleQueue[LoadOrder] = queue.SimpleQueue()
        self.ready = False
        """Set by the runner when the model is loaded; until then an order to drain ends the process at once."""
        self.on_beat: Callable[[], None] = lambda: None
        """Called in the link's thread before each beat."""
        self._launch = launch
        self._desk = desk
        self._progress = progress
        self._outgoing: deque[list[bytes] | threading.Event] = deque()
        self._awaited: deque[threading.Event | None] = deque()
        self._wake_read, self.wake_fd = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self.wake_fd, False)
        self._signalled = False
        self._closing = False
        self._beat_interval = 0.0
        self._beat_at = float("inf")
        self._orphan_timeout = _FIRST_ORPHAN_SECONDS
        self._unanswered_since: float | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._thread = threading.Thread(target=self._run, name="infsup-link", daemon=True)
        self._handlers: dict[Kind, Callable[[Packet], None]] = {
            Kind.LOAD: self._on_load,
            Kind.RUN: self._on_run,
            Kind.CANCEL: self._on_cancel,
            Kind.DRAIN: lambda _packet: self._drain("the supervisor asked for it"),
            Kind.BEAT_ACK: self._on_beat_ack,
        }

    def start(self) -> None:
        """Connect and say hello."""
        self._thread.start()

    def send(self, frames: list[bytes]) -> None:
        """Send one message. Returns at once."""
        self._outgoing.append(frames)
        self._wake()

    def round_trip(self, timeout: float) -> bool:
        """Beat now and wait for the answer: then all that was sent before has arrived. False after `timeout` s."""
        answered = threading.Event()
        self._outgoing.append(answered)
        self._wake()
        return answered.wait(timeout)

    def close(self) -> None:
        """Send what is left, for at most `LINGER_SECONDS`, and end the thread. The pipe stays: signals write to it."""
        self._closing = True
        self._wake()
        self._thread.join(LINGER_SECONDS + 1.0)

    def _wake(self) -> None:
        # The reader clears the flag before it looks into the deque, so a message is never left without a wake-up.
        if not self._signalled:
            self._signalled = True
            with contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
                os.write(self.wake_fd, b"\0")

    def _run(self) -> None:
        try:
            self._loop()
        except Exception:  # a worker that nobody can reach is of no use to anybody
            log.exception("the link to the supervisor failed")
            leave_now(EXIT_FATAL)

    def _loop(self) -> None:
        socket = self._connect()
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(self._wake_read, zmq.POLLIN)
        self._say_hello()
        while not (self._closing and not self._outgoing):
            ready = dict(poller.poll(self._timeout_ms()))
            if self._wake_read in ready:
                self._read_wake()
            self._receive(socket)
            self._send_outgoing(socket)
            self._tick()
        socket.close(linger=int(LINGER_SECONDS * 1000))
        self._context.term()

    def _connect(self) -> "zmq.Socket[bytes]":
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.ROUTING_ID, self._launch.token)
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.LINGER, int(LINGER_SECONDS * 1000))
        socket.connect(self._launch.endpoint)
        return socket

    def _say_hello(self) -> None:
        # Which engine it is to be comes with the order to load.
        self._outgoing.append(join(encode(Hello(os.getpid(), "", platform.python_version()))))
        self._unanswered_since = time.monotonic()

    def _timeout_ms(self) -> int:
        if self._outgoing or self._closing:
            return 0
        wait = min(self._beat_at - time.monotonic(), 1.0)
        return max(0, int(wait * 1000) + 1)

    def _read_wake(self) -> None:
        self._signalled = False
        with contextlib.suppress(BlockingIOError):
            if signal.SIGTERM in os.read(self._wake_read, 4096):
                self._drain("SIGTERM")

    def _receive(self, socket: "zmq.Socket[bytes]") -> None:
        for _ in range(_BATCH):
            try:
                frames = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._unanswered_since = None
            self._on_frames(frames)

    def _on_frames(self, frames: list[bytes]) -> None:
        try:
            packet = split(frames)
            self._handlers.get(packet.kind, _refuse)(packet)
        except WireError as error:
            log.warning("dropped a message of the supervisor: %s", error)

    def _send_outgoing(self, socket: "zmq.Socket[bytes]") -> None:
        for _ in range(_BATCH):
            try:
                item = self._outgoing.popleft()
            except IndexError:
                return
            if isinstance(item, threading.Event):
                self._beat(item)
            else:
                socket.send_multipart(item, zmq.NOBLOCK)

    def _tick(self) -> None:
        now = time.monotonic()
        if not has_parent(self._launch.parent_pid):
            self._leave(f"the supervisor (pid {self._launch.parent_pid}) is gone")
        # Judged after reading: if this process itself was stopped, the answers are here by now.
        if self._unanswered_since is not None and now - self._unanswered_since > self._orphan_timeout:
            self._leave(f"the supervisor has not answered for {self._orphan_timeout:g} s")
        if now >= self._beat_at:
            self._beat_at = now + self._beat_interval
            self._beat(None)

    def _beat(self, answered: threading.Event | None) -> None:
        self.on_beat()
        self._awaited.append(answered)
        # At the end of the line: what `on_beat` and others have sent goes first.
        self._outgoing.append(join(encode(self._progress.beat(self._desk.running))))
        if self._unanswered_since is None:
            self._unanswered_since = time.monotonic()

    def _on_beat_ack(self, _packet: Packet) -> None:
        if self._awaited and (answered := self._awaited.popleft()) is not None:
            answered.set()

    def _on_load(self, packet: Packet) -> None:
        order: LoadOrder = decode(LoadOrder, packet)
        if self._beat_interval:
            raise WireError("a second order to load")
        self._beat_interval = max(order.beat_interval, 0.01)
        self._orphan_timeout = order.orphan_timeout
        self._beat_at = time.monotonic()
        self._progress.phase("load")
        self.load_orders.put(order)

    def _on_run(self, packet: Packet) -> None:
        try:
            job = read_run(packet)
        except WireError as error:  # its parameters are the client's: nobody has read them before
            self._reply(failed_packet(packet.key, InvalidRequest(f"the job cannot be read: {error}")))
            return
        match self._desk.accept(job):
            case Accepted.DRAINING:
                self._reply(Packet(Kind.BOUNCED, packet.key))
            case Accepted.KNOWN:
                raise WireError(f"a second job with the id {packet.key!r}")
            case Accepted.YES:
                pass

    def _on_cancel(self, packet: Packet) -> None:
        decode(CancelOrder, packet)
        try:
            was_waiting = self._desk.cancel(packet.key)
        except Exception:
            log.exception("the engine's hook for cancelling failed")
            return
        if was_waiting:
            self._reply(Packet(Kind.CANCELLED, packet.key))

    def _drain(self, why: str) -> None:
        if not self.ready:
            self._leave(f"asked to leave before the model was loaded: {why}")
        log.info("draining: %s", why)
        for job_id in self._desk.drain():
            self._reply(Packet(Kind.BOUNCED, job_id))

    def _reply(self, packet: Packet) -> None:
        # In the link's own thread, which sends after each round of reading: no wake-up is needed.
        self._outgoing.append(join(packet))

    def _leave(self, why: str) -> NoReturn:
        log.warning("leaving: %s", why)
        leave_now(0)


def _refuse(packet: Packet) -> None:
    raise WireError(f"{packet.kind.name} is not a message for a worker")
