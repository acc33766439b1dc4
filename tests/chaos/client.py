"""A client that trusts nothing: it sends one request and finds out how that ended, and whether it may end so."""

import asyncio
import io
import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import aiohttp

from .contract import read_error
from .plan import Api, Request

_JSON = {"Content-Type": "application/json"}
_RECEIVE_BUFFER_BYTES = 65536
"""Small, so that a client that reads nothing is felt at the other end soon."""


class Ending(StrEnum):
    """How a request ended."""

    SUCCESS = "success"
    ERROR = "typed error"
    LEFT = "left by the client"
    DROPPED = "connection lost"
    HUNG = "hung"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a request; times on the monotonic clock. `problem` says what of it breaks a promise ("": nothing)."""

    request: Request
    began: float
    ended: float
    ending: Ending
    code: str = ""
    problem: str = ""


class BrokenPromise(Exception):
    """An answer that must not be."""


def open_session(url: str) -> aiohttp.ClientSession:
    """Return a session that makes a new connection for each request: none may be lost with an earlier one."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True, socket_factory=_small_socket)
    return aiohttp.ClientSession(
        url, connector=connector, timeout=aiohttp.ClientTimeout(total=None), read_bufsize=16384
    )


def _small_socket(info: Any) -> socket.socket:
    family, kind, protocol, _, _ = info
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    return made


async def perform(
    session: aiohttp.ClientSession, request: Request, on_text: Callable[[], None] = lambda: None
) -> Outcome:
    """Send the request and wait for its end; `on_text` is called at the first text of a stream."""
    began = time.monotonic()

    def outcome(ending: Ending, code: str = "", problem: str = "") -> Outcome:
        return Outcome(request, began, time.monotonic(), ending, code, problem)

    try:
        async with asyncio.timeout(request.limit_s):
            ending, code = await _exchange(session, request, on_text)
    except TimeoutError:
        return outcome(Ending.HUNG, problem=f"no end within {request.limit_s:g} s")
    except BrokenPromise as broken:
        return outcome(Ending.ERROR, problem=str(broken))
    except (ValueError, LookupError, TypeError) as error:
        return outcome(Ending.ERROR, problem=f"an answer that cannot be read: {type(error).__name__}: {error}")
    except (aiohttp.ClientError, OSError) as error:
        return outcome(Ending.DROPPED, f"{type(error).__name__}: {error}")
    if ending is Ending.SUCCESS and request.must_fail:
        return outcome(ending, problem=f"{request.prompt!r} cannot succeed")
    return outcome(ending, code)


async def _exchange(
    session: aiohttp.ClientSession, request: Request, on_text: Callable[[], None]
) -> tuple[Ending, str]:
    async with session.post(request.api.value, data=io.BytesIO(_body(request)), headers=_JSON) as response:
        if response.status == 200 and response.content_type == "text/event-stream":
            reader = _StreamReader(request, on_text)
            if await reader.read(response):
                return (Ending.ERROR, reader.code) if reader.code else (Ending.SUCCESS, "")
            response.close()
            return Ending.LEFT, ""
        body = json.loads(await response.read())
        if response.status != 200:
            return Ending.ERROR, _error_code(request, "", body, response.status, response.headers)
        _check_whole(request, body)
        return Ending.SUCCESS, ""


def _body(request: Request) -> bytes:
    body: dict[str, Any] = {"model": request.model, "stream": request.stream}
    if request.api is Api.CHAT:
        body["messages"] = [{"role": "user", "content": request.prompt}]
    else:
        body["prompt"] = request.prompt
    if request.seed:
        body["seed"] = request.seed
    if request.timeout_s is not None:
        body["timeout"] = request.timeout_s
    return json.dumps(body).encode()


def _check_whole(request: Request, body: Any) -> None:
    (choice,) = body["choices"]
    _check_text(request, _text_of(choice, "message"), whole=True)
    if choice.get("finish_reason") != "stop":
        raise BrokenPromise(f"finish_reason {choice.get('finish_reason')!r}")


def _text_of(choice: Any, holder: str) -> str:
    return str(choice["text"] if "text" in choice else choice[holder].get("content") or "")


def _check_text(request: Request, text: str, *, whole: bool) -> None:
    if text != request.expected if whole else not request.expected.startswith(text):
        raise BrokenPromise(f"expected {request.expected[:80]!r}, got {'' if whole else 'a part: '}{text[:80]!r}")


def _error_code(request: Request, said: str, body: object, status: int | None, headers: Mapping[str, str]) -> str:
    code, partial, problem = read_error(body, status, headers)
    if problem:
        raise BrokenPromise(problem)
    _check_text(request, partial or said, whole=False)
    return code


class _StreamReader:
    """Reads the events of one answer; whatever comes after its end is a broken promise."""

    def __init__(self, request: Request, on_text: Callable[[], None]) -> None:
        self.code = ""
        self._request = request
        self._on_text = on_text
        self._text: list[str] = []
        self._finished = self._ended = False

    async def read(self, response: aiohttp.ClientResponse) -> bool:
        """Read to the end; False when the client leaves before."""
        rest, paused = b"", False
        async for data in response.content.iter_any():
            *events, rest = (rest + data).split(b"\n\n")
            for event in events:
                self._take(event)
            if self._text and self._request.pause_s and not paused:
                paused = True
                await asyncio.sleep(self._request.pause_s)
            if 0 < self._request.leaves_after <= len(self._text) and not self._ended:
                _check_text(self._request, "".join(self._text), whole=False)
                return False
        if rest or not self._ended:
            raise BrokenPromise(f"the stream broke off without an end, after {''.join(self._text)[-80:]!r} {rest!r}")
        return True

    def _take(self, event: bytes) -> None:
        if event.startswith(b":"):
            return
        if self._ended:
            raise BrokenPromise(f"an event after the end: {event[:200]!r}")
        data = event.removeprefix(b"data: ")
        if data == b"[DONE]":
            if not self._finished:
                raise BrokenPromise("[DONE] without a finish_reason")
            _check_text(self._request, "".join(self._text), whole=True)
            self._ended = True
            return
        body: Any = json.loads(data)
        if "error" in body:
            self.code = _error_code(self._request, "".join(self._text), body, None, {})
            self._ended = True
            return
        self._take_choice(body["choices"][0])

    def _take_choice(self, choice: Any) -> None:
        if self._finished:
            raise BrokenPromise("text after finish_reason")
        text = _text_of(choice, "delta")
        if text:
            if not self._text:
                self._on_text()
            self._text.append(text)
        self._finished = choice.get("finish_reason") is not None
