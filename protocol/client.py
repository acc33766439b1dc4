"""The asyncio client: submits jobs, streams their events, makes control calls. Any program can use it."""

import asyncio
import contextlib
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zmq

from .errors import Cancelled, InfsupError, InvalidRequest, ShuttingDown, from_wire
from .fields import from_map, to_map
from .job import JobHeader, new_id
from .messages import (
    FINAL_EVENTS,
    Ack,
    CancelledEvent,
    Chunk,
    Done,
    Failed,
    JobEvent,
    Queued,
    Started,
    encode,
    read_event,
    submit_packet,
)
from .port import Port
from .runtime import jobs_endpoint
from .wire import MAX_MESSAGE_BYTES, Kind, Packet, WireError, join, pack, split, unpack, unpack_map

BEAT_INTERVAL = 2.0
"""Seconds between this client's beats; the supervisor forgets a client after `CLIENT_TIMEOUT` of silence."""
SERVER_TIMEOUT = 15.0
"""Seconds of silence after which the supervisor counts as gone."""
_ACK_CHUNKS, _ACK_BYTES = 32, 128 * 1024


class JobHandle:
    """One submitted job: iterate it for its events (last `Done`, `Failed` or `CancelledEvent`) or await `result`.

    Chunks count as consumed when the next event is asked for: a reader that stops reading stops the stream's credit.
    """

    def __init__(self, client: "Client", job_id: str) -> None:
        """Use `Client.submit`."""
        self.id = job_id
        self.instance: str | None = None
        """The instance that has the job, or had it last."""
        self.position: int | None = None
        """How many jobs were ahead of this one when the supervisor last said so; None once it has begun."""
        self._client = client
        self._events: deque[JobEvent] = deque()
        self._arrived = asyncio.Event()
        self._finished = False
        self._text: list[str] = []
        self._usage: dict[str, int] = {}
        self._unacked_chunks = 0
        self._unacked_bytes = 0

    def __aiter__(self) -> AsyncIterator[JobEvent]:
        """Iterate over the events that are still to come."""
        return self

    async def __anext__(self) -> JobEvent:
        """Wait for the next event; ends after the last one."""
        self._send_ack(final=False)
        while not self._events:
            if self._finished:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        event = self._events.popleft()
        if isinstance(event, Chunk):
            self._unacked_chunks += 1
            self._unacked_bytes += event.size
        return event

    @property
    def finished(self) -> bool:
        """Whether the last event has arrived (it may not have been read yet)."""
        return self._finished

    @property
    def pending(self) -> bool:
        """Whether the next event is there already, so that asking for it does not wait."""
        return bool(self._events)

    async def result(self) -> Mapping[str, Any]:
        """Wait for the end and return the result; chunks on the way are dropped.

        Raises the job's `InfsupError` (with `partial`), `Cancelled` if it was cancelled. Cancelling the waiting task
        cancels the job.
        """
        try:
            async for event in self:
                if isinstance(event, Done):
                    return event.result
                if isinstance(event, Failed):
                    raise event.error
                if isinstance(event, CancelledEvent):
                    raise Cancelled("the job was cancelled", partial=event.partial)
        except asyncio.CancelledError:
            self.cancel()
            raise
        raise ShuttingDown("the connection to the supervisor closed before the job ended", partial=self.partial)

    def cancel(self) -> None:
        """Ask for the job to be cancelled; its last event follows. Harmless after the end."""
        if not self._finished:
            self._client.send_packet(Packet(Kind.CANCEL_JOB, self.id))

    @property
    def partial(self) -> dict[str, Any]:
        """What has arrived so far: `{"text": str, "usage": {...}}`, empty when there is nothing."""
        if not self._text:
            return {}
        return {"text": "".join(self._text), "usage": dict(self._usage)}

    def on_event(self, event: JobEvent) -> None:
        """Take an event from the client's socket."""
        if self._finished:
            return
        match event:
            case Chunk(data=data):
                self._note_chunk(data)
            case Failed(error=error) if error.partial is None:
                error.partial = self.partial or None
            case Queued(position=position):
                self.position = position
            case Started(instance=instance):
                self.instance, self.position = instance, None
            case _:
                pass
        self._finished = isinstance(event, FINAL_EVENTS)
        self._events.append(event)
        self._arrived.set()

    def _note_chunk(self, data: Mapping[str, Any]) -> None:
        text = data.get("text")
        if isinstance(text, str) and text:
            self._text.append(text)
        tokens, prompt = data.get("tokens"), data.get("prompt_tokens")
        if isinstance(tokens, int):
            self._usage["completion_tokens"] = self._usage.get("completion_tokens", 0) + tokens
        if isinstance(prompt, int):
            self._usage["prompt_tokens"] = prompt

    def _send_ack(self, *, final: bool) -> None:
        if self._finished or not self._unacked_chunks:
            return
        if final or self._unacked_chunks >= _ACK_CHUNKS or self._unacked_bytes >= _ACK_BYTES:
            self._client.send_packet(encode(Ack(self._unacked_chunks, self._unacked_bytes), self.id))
            self._unacked_chunks = self._unacked_bytes = 0


class Client:
    """A connection to a supervisor; one per event loop. Use as an async context manager.

    `endpoint` is an address such as `ipc:///run/user/1000/infsup/1a2b3c4d/jobs`, or the runtime directory's path.
    """

    def __init__(self, endpoint: str | Path) -> None:
        """Remember where to connect; nothing is opened before `connect`."""
        self.endpoint = endpoint if isinstance(endpoint, str) and "://" in endpoint else jobs_endpoint(Path(endpoint))
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._port: Port | None = None
        self._jobs: dict[str, JobHandle] = {}
        self._calls: dict[str, asyncio.Queue[Packet]] = {}
        self._beats: asyncio.Task[None] | None = None
        self._heard_at = 0.0

    async def __aenter__(self) -> Self:
        """Connect."""
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def connect(self, identity: bytes = b"") -> None:
        """Open the socket. Returns at once: a supervisor that is not there shows when a call times out."""
        if self._port is not None:
            raise RuntimeError("this client is connected already")
        self._context = zmq.Context()
        self._port = Port(self._context, zmq.DEALER, self._on_frames)
        self._port.start(connect=self.endpoint, identity=identity or b"c-" + secrets.token_bytes(12))
        self._heard_at = time.monotonic()
        self._beats = asyncio.create_task(self._beat())

    async def close(self) -> None:
        """Say goodbye (the supervisor cancels what is left of this client's jobs) and close the socket."""
        if self._port is None or self._context is None:
            return
        self.send_packet(Packet(Kind.CLIENT_BYE))
        if self._beats is not None:
            self._beats.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beats
        self._fail_all("the client was closed")
        self._port.close(linger=0.2)
        # term() would wait for the linger in the loop; destroying does it in libzmq's own thread.
        await asyncio.get_running_loop().run_in_executor(None, self._context.term)
        self._port = self._context = self._beats = None

    async def submit(
        self,
        model: str,
        task: str,
        params: Mapping[str, Any],
        *,
        job_id: str = "",
        stream: bool = True,
        priority: int = 0,
        timeout: float | None = None,
        client: str = "",
        prefix: tuple[bytes, ...] = (),
        parent: str | None = None,
        keep_alive: float | None = None,
        wait: bool = True,
    ) -> JobHandle:
        """Submit a job; see `JobHeader` for the fields. Raises `InvalidRequest` for what cannot be sent."""
        header = JobHeader(
            job_id or new_id(),
            model,
            task,
            priority,
            timeout,
            client,
            prefix,
            stream,
            parent,
            keep_alive,
            wait,
        )
        if self._port is None:
            raise RuntimeError("connect the client first")
        _check_types(header)
        header.check()
        try:
            packed = pack(params)
        except WireError as error:
            raise InvalidRequest(f"the parameters {error}") from error
        if len(packed) > MAX_MESSAGE_BYTES - 65536:
            raise InvalidRequest(f"the job has {len(packed)} bytes, allowed are {MAX_MESSAGE_BYTES - 65536}")
        if header.id in self._jobs:
            raise InvalidRequest(f"a job with the id {header.id!r} is running already", param="id")
        handle = JobHandle(self, header.id)
        self._jobs[header.id] = handle
        self.send_packet(submit_packet(header, packed))
        return handle

    async def run(self, model: str, task: str, params: Mapping[str, Any], **options: Any) -> Mapping[str, Any]:
        """Submit a job and wait for its result; `options` as for `submit`. Raises `InfsupError`."""
        options = {"stream": False, **options}
        handle = await self.submit(model, task, params, **options)
        return await handle.result()

    async def control(self, verb: str, *, timeout: float = 10.0, **args: Any) -> Any:
        """Make a control call and return its reply. Raises `InfsupError`, or `TimeoutError` after `timeout` seconds."""
        call_id, replies = self._open_call(verb, args)
        try:
            async with asyncio.timeout(timeout):
                return _reply_value(await replies.get())
        except TimeoutError as error:
            raise TimeoutError(f"no answer to {verb!r} from {self.endpoint} in {timeout:g} s") from error
        finally:
            self._calls.pop(call_id, None)

    async def control_stream(self, verb: str, **args: Any) -> AsyncIterator[Any]:
        """Make a control call that answers with a stream; yields its items until it ends. Raises `InfsupError`."""
        call_id, replies = self._open_call(verb, args)
        ended = False
        try:
            while True:
                packet = await replies.get()
                ended = packet.kind is not Kind.REPLY_PART
                value = _reply_value(packet)
                if ended:
                    return
                yield value
        finally:
            self._calls.pop(call_id, None)
            if not ended:
                self.send_packet(Packet(Kind.CONTROL_END, call_id))

    def send_packet(self, packet: Packet) -> None:
        """Send one packet; dropped silently when the client is closed."""
        if self._port is not None:
            self._port.send(join(packet))

    def _open_call(self, verb: str, args: Mapping[str, Any]) -> tuple[str, asyncio.Queue[Packet]]:
        if self._port is None:
            raise RuntimeError("connect the client first")
        call_id = new_id("call")
        replies: asyncio.Queue[Packet] = asyncio.Queue()
        self._calls[call_id] = replies
        self.send_packet(Packet(Kind.CONTROL, call_id, pack({"verb": verb, "args": dict(args)})))
        return call_id, replies

    def _on_frames(self, frames: list[bytes]) -> None:
        self._heard_at = time.monotonic()
        try:
            packet = split(frames)
            if packet.key in self._calls:
                self._calls[packet.key].put_nowait(packet)
            elif (handle := self._jobs.get(packet.key)) is not None:
                event = read_event(packet)
                if isinstance(event, FINAL_EVENTS):
                    del self._jobs[packet.key]
                handle.on_event(event)
        except WireError as error:
            # The supervisor forwards what a worker sent: a broken answer must end its job, not this client.
            key = frames[1].decode("ascii", "replace") if len(frames) > 1 else ""
            if (handle := self._jobs.pop(key, None)) is not None:
                handle.on_event(Failed(InfsupError(f"unreadable answer from the worker: {error}")))

    async def _beat(self) -> None:
        while True:
            self.send_packet(Packet(Kind.CLIENT_BEAT))
            await asyncio.sleep(BEAT_INTERVAL)
            if self._jobs and time.monotonic() - self._heard_at > SERVER_TIMEOUT:
                self._fail_all(f"nothing heard from the supervisor at {self.endpoint} for {SERVER_TIMEOUT:g} s")

    def _fail_all(self, why: str) -> None:
        jobs, self._jobs = self._jobs, {}
        for handle in jobs.values():
            handle.on_event(Failed(ShuttingDown(why)))


def _check_types(header: JobHeader) -> None:
    try:
        from_map(JobHeader, to_map(header))
    except WireError as error:
        message = str(error).removeprefix("JobHeader.")
        raise InvalidRequest(message, param=message.partition(":")[0]) from error


def _reply_value(packet: Packet) -> Any:
    if packet.kind is Kind.REPLY_ERROR:
        raise from_wire(unpack_map(packet.body))
    return unpack(packet.body) if packet.body else None
