"""A supervisor made of one socket and scripts, for tests that drive a real gateway process over HTTP."""

import contextlib
import http.client
import json
import os
import queue
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq

from infsup.protocol.errors import InfsupError
from infsup.protocol.job import JobHeader
from infsup.protocol.messages import Ack, decode, encode, failed_packet, read_submit
from infsup.protocol.messages import Started as StartedMessage
from infsup.protocol.wire import Kind, Packet, join, pack, split, unpack_map

PATIENCE = 15.0
"""Seconds after which a test gives up; what is waited for takes milliseconds on a free machine."""

MODELS: list[dict[str, Any]] = [
    {
        "id": "tiny:1.0",
        "task": "text-completion",
        "engine": "fault",
        "created": 1700000000,
        "status": "ready",
        "aliases": ["gpt-4o-mini"],
        "context_size": 2048,
    }
]
STATUS: dict[str, Any] = {"pool": {"processing": 0, "pending": 0, "instances": {}}, "store": {}}


@dataclass
class FakeJob:
    """A job that arrived. Scripts send its events; `cancelled` is set when its client cancels it."""

    header: JobHeader
    params: Mapping[str, Any]
    send: Callable[[Packet], None]
    cancelled: threading.Event = field(default_factory=threading.Event)
    cancelled_at: float = 0.0
    acked: int = 0

    def started(self) -> None:
        self.send(encode(StartedMessage("i-1"), self.header.id))

    def chunk(self, text: str, index: int = 0, **more: Any) -> None:
        self.send(Packet(Kind.CHUNK, self.header.id, pack({"index": index, "text": text, "tokens": 1, **more})))

    def done(self, *texts: str, finish_reason: str = "stop", tokens: int = 3) -> None:
        choices = [{"index": i, "text": text, "finish_reason": finish_reason} for i, text in enumerate(texts)]
        usage = {"prompt_tokens": 5, "completion_tokens": tokens, "cached_tokens": 2}
        self.send(Packet(Kind.DONE, self.header.id, pack({"choices": choices, "usage": usage})))

    def fail(self, error: InfsupError) -> None:
        self.send(failed_packet(self.header.id, error))

    def end_cancelled(self) -> None:
        self.send(Packet(Kind.CANCELLED, self.header.id))

    def was_cancelled(self) -> bool:
        return self.cancelled.wait(PATIENCE)


Script = Callable[[FakeJob], None]


class FakeSupervisor:
    """Owns a ROUTER socket, a listening socket and one gateway. `script` says what happens to jobs."""

    def __init__(self, directory: Path) -> None:
        self.endpoint = f"ipc://{directory / 'jobs'}"
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.identity = b"g-" + secrets.token_bytes(12)
        self.script: Script = _echo
        self.jobs: queue.SimpleQueue[FakeJob] = queue.SimpleQueue()
        self.ready = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None
        self.output = directory / "output"
        self._running: dict[str, FakeJob] = {}
        self._outgoing: queue.SimpleQueue[list[bytes]] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.bind(self.endpoint)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def settings(self, **more: Any) -> dict[str, Any]:
        return {
            "endpoint": self.endpoint,
            "identity": self.identity.hex(),
            "fd": self.listener.fileno(),
            "parent": os.getpid(),
            "max_body": 100_000,
            "api_keys": [],
            "cors_origins": [],
            "log_level": "info",
            "version": "0.0.test",
            **more,
        }

    def spawn(self, **more: Any) -> subprocess.Popen[bytes]:
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "infsup.gateway"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(self.listener.fileno(),),
            )
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(self.settings(**more)).encode() + b"\n")
        self.process.stdin.close()
        return self.process

    def start(self, **more: Any) -> None:
        self.spawn(**more)
        assert self.ready.wait(PATIENCE), self.output.read_text()

    def next_job(self) -> FakeJob:
        return self.jobs.get(timeout=PATIENCE)

    def close(self) -> None:
        self._end_process()
        self._closing.set()
        self._thread.join()
        self._socket.close(linger=0)
        self._context.term()
        self.listener.close()

    def _end_process(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def _serve(self) -> None:
        scripts: list[threading.Thread] = []
        while not self._closing.is_set():
            if self._socket.poll(2):
                peer, *frames = self._socket.recv_multipart()
                self._on_packet(peer, split(frames), scripts)
            with contextlib.suppress(queue.Empty):
                while True:
                    self._socket.send_multipart(self._outgoing.get_nowait())
        for job in self._running.values():
            job.cancelled.set()
        for script in scripts:
            script.join()

    def _on_packet(self, peer: bytes, packet: Packet, scripts: list[threading.Thread]) -> None:
        def send(answer: Packet) -> None:
            self._outgoing.put([peer, *join(answer)])

        match packet.kind:
            case Kind.SUBMIT:
                job = FakeJob(read_submit(packet), unpack_map(packet.extra), send)
                self._running[packet.key] = job
                scripts.append(threading.Thread(target=self.script, args=(job,)))
                scripts[-1].start()
                self.jobs.put(job)
            case Kind.CANCEL_JOB:
                job = self._running[packet.key]
                job.cancelled_at = time.monotonic()
                job.cancelled.set()
                send(Packet(Kind.CANCELLED, packet.key, pack({})))
            case Kind.ACK:
                self._running[packet.key].acked += decode(Ack, packet).chunks
            case Kind.CLIENT_BEAT:
                send(Packet(Kind.SERVER_BEAT))
            case Kind.CONTROL:
                send(Packet(Kind.REPLY, packet.key, pack(self._answer(unpack_map(packet.body)["verb"]))))
            case _:
                pass

    def _answer(self, verb: str) -> Any:
        if verb == "gateway_ready":
            self.ready.set()
        answers: dict[str, Any] = {"models": MODELS, "status": STATUS}
        return answers.get(verb)


def _echo(job: FakeJob) -> None:
    """Stream the last message or the prompt word by word."""
    job.started()
    messages = job.params.get("messages")
    text: str = messages[-1]["content"] if messages else str(job.params["prompt"])
    words = [word if i == 0 else f" {word}" for i, word in enumerate(text.split(" "))]
    texts = [text] * int(job.params.get("n", 1))
    for index in range(len(texts)):
        for word in words if job.header.stream else ():
            job.chunk(word, index)
    job.done(*texts, tokens=len(words))


@contextlib.contextmanager
def fake_supervisor(directory: Path) -> Generator[FakeSupervisor]:
    """Give a supervisor and end all that it owns."""
    supervisor = FakeSupervisor(directory)
    try:
        yield supervisor
    finally:
        supervisor.close()


@dataclass
class Answer:
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = self.json()["error"]
        return found

    def events(self) -> list[Any]:
        """Return the data of the server-sent events, parsed; comments are left out."""
        lines = [line[6:] for line in self.body.decode().split("\n\n") if line.startswith("data: ")]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]


def call(port: int, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """Make one request. `body` is sent as it is if it is bytes or an iterator (chunked), else as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    as_it_is = body is None or isinstance(body, bytes) or hasattr(body, "__next__")
    sent = body if as_it_is else json.dumps(body).encode()
    try:
        connection.request(
            method, path, sent, {name.replace("_", "-"): value for name, value in headers.items()}, encode_chunked=True
        )
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def open_request(port: int, path: str, body: object) -> socket.socket:
    """Send a request on a raw socket and return it, to be left in the middle."""
    data = json.dumps(body).encode()
    sent = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    sent.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
    return sent


def read_until(connection: socket.socket, text: bytes) -> bytes:
    """Read until `text` has come."""
    received = bytearray()
    while text not in received[-len(text) - 65536 :]:
        piece = connection.recv(65536)
        assert piece, bytes(received)
        received += piece
    return bytes(received)
