"""A supervisor made of one socket, for tests that drive a real worker process."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import zmq

from infsup.protocol.job import JobHeader
from infsup.protocol.messages import Beat, CancelOrder, Hello, Loaded, LoadOrder, decode, encode, run_packet
from infsup.protocol.spec import ModelSpec
from infsup.protocol.wire import Kind, Packet, WireError, join, pack, split, unpack_map

PATIENCE = 15.0
"""Seconds after which a test gives up; what is waited for takes milliseconds on a free machine."""
LAST_KINDS = (Kind.DONE, Kind.FAILED, Kind.CANCELLED, Kind.BOUNCED)


class FakeSupervisor:
    """Owns a ROUTER socket and one worker. Answers beats; what is malformed is kept in `malformed`."""

    def __init__(self, directory: Path) -> None:
        self.token = b"\x01" + secrets.token_bytes(15)
        self.endpoint = f"ipc://{directory / 'workers'}"
        self.answering = True
        self.beats: list[Beat] = []
        self.malformed: list[str] = []
        self.foreign: list[Packet] = []
        self.process: subprocess.Popen[bytes] | None = None
        self._output = directory / "output"
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.bind(self.endpoint)

    def close(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._socket.close(linger=0)
        self._context.term()

    def env(self, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            "INFSUP_WORKER_ENDPOINT": self.endpoint,
            "INFSUP_WORKER_TOKEN": self.token.hex(),
            "INFSUP_PARENT_PID": str(os.getpid()),
            "INFSUP_RUN_ID": "test",
            **more,
        }

    def spawn(self, **more: str) -> None:
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "infsup.workers"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.env(**more),
                start_new_session=True,
            )

    def load(
        self,
        options: Mapping[str, Any] | None = None,
        *,
        engine: str = "fault",
        beat_interval: float = 0.1,
        orphan_timeout: float = 60.0,
        **spec: Any,
    ) -> None:
        hello: Hello = decode(Hello, self.wait(Kind.HELLO))
        assert self.process is None or hello.pid == self.process.pid
        model = ModelSpec("echo", "text-completion", engine, options=dict(options or {}), **spec)
        self.send(encode(LoadOrder("echo-1", model, beat_interval, orphan_timeout)))

    def start(self, options: Mapping[str, Any] | None = None, **more: Any) -> Loaded:
        self.spawn()
        self.load(options, **more)
        loaded: Loaded = decode(Loaded, self.wait(Kind.LOADED))
        return loaded

    def run(
        self, job_id: str, prompt: str, *, stream: bool = True, timeout: float | None = None, **params: Any
    ) -> None:
        header = JobHeader(job_id, "echo", "text-completion", stream=stream)
        self.send(run_packet(header, pack({"prompt": prompt, **params}), timeout))

    def cancel(self, job_id: str) -> None:
        self.send(encode(CancelOrder(5.0), job_id))

    def send(self, packet: Packet) -> None:
        self.send_frames(join(packet))

    def send_frames(self, frames: list[bytes]) -> None:
        self._socket.send_multipart([self.token, *frames])

    def receive(self, timeout: float) -> Packet | None:
        """Return the next message that is no beat, None after `timeout` seconds."""
        until = time.monotonic() + timeout
        while (rest := until - time.monotonic()) > 0:
            if not self._socket.poll(int(rest * 1000) + 1):
                return None
            identity, *frames = self._socket.recv_multipart()
            assert identity == self.token
            try:
                packet = split(frames)
                if packet.kind is Kind.BEAT:
                    self.beats.append(decode(Beat, packet))
            except WireError as error:
                self.malformed.append(str(error))
                continue
            if packet.kind is not Kind.BEAT:
                return packet
            if self.answering:
                self.send(Packet(Kind.BEAT_ACK))
        return None

    def wait(self, *kinds: Kind, key: str = "") -> Packet:
        """Wait for a message of one of these kinds; others are put aside in `foreign`."""
        until = time.monotonic() + PATIENCE
        while (rest := until - time.monotonic()) > 0:
            packet = self.receive(rest)
            if packet is not None and packet.kind in kinds and packet.key == key:
                return packet
            if packet is not None:
                self.foreign.append(packet)
        raise AssertionError(f"no {kinds} for {key!r}; {self.foreign}; output:\n{self.output()}")

    def finish(self, job_id: str) -> tuple[str, Packet]:
        """Wait for a job's last word. Returns the text of its chunks, and that word."""
        text = ""
        while True:
            packet = self.wait(Kind.CHUNK, *LAST_KINDS, key=job_id)
            if packet.kind in LAST_KINDS:
                return text, packet
            text += unpack_map(packet.body)["text"]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Take messages until the condition holds."""
        until = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < until, f"gave up; output:\n{self.output()}"
            if (packet := self.receive(0.05)) is not None:
                self.foreign.append(packet)

    def exit_status(self) -> int:
        assert self.process is not None
        process = self.process
        self.wait_for(lambda: process.poll() is not None)
        return process.returncode

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def state(self) -> str:
        """Return the letter that Linux has for what the process is doing, e.g. R, S, T."""
        assert self.process is not None
        stat = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii")
        return stat.rpartition(")")[2].split()[0]

    def output(self) -> str:
        return self._output.read_text(errors="replace")


@contextlib.contextmanager
def fake_supervisor(directory: Path) -> Generator[FakeSupervisor]:
    supervisor = FakeSupervisor(directory)
    try:
        yield supervisor
    finally:
        supervisor.close()
