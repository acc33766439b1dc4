"""The language of the fault engine: what a prompt orders it to do."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from infsup.protocol.errors import InvalidRequest

MAX_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True)
class Echo:
    """Say the prompt, word by word."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Say `t0 t1 …`, `delay` seconds apart."""

    count: int
    delay: float


@dataclass(frozen=True, slots=True)
class Sleep:
    """Work healthily without output for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Exit:
    """End the process with this status."""

    status: int


@dataclass(frozen=True, slots=True)
class Error:
    """Fail as an ordinary engine error."""

    text: str


@dataclass(frozen=True, slots=True)
class Gil:
    """Hold the interpreter's lock for so many seconds: no thread of the process can do anything."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Leak:
    """Keep so many megabytes (10^6 bytes) for ever, then echo."""

    megabytes: float


@dataclass(frozen=True, slots=True)
class Crash:
    """Raise `EngineFatal`."""


@dataclass(frozen=True, slots=True)
class Segfault:
    """Die of SIGSEGV."""


@dataclass(frozen=True, slots=True)
class Abort:
    """Die of SIGABRT."""


@dataclass(frozen=True, slots=True)
class Oom:
    """Die of SIGKILL, as if the kernel had run out of memory."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Make no progress for ever, while beats go on."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """Stop the process with SIGSTOP; echo when it is continued."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """Send malformed frames, then echo."""


@dataclass(frozen=True, slots=True)
class Oversize:
    """Send messages over the size limit, then echo."""


@dataclass(frozen=True, slots=True)
class After:
    """Say `count` tokens, then obey `order`."""

    count: int
    order: "Order"


Order = (
    Echo
    | Tokens
    | Sleep
    | Exit
    | Error
    | Gil
    | Leak
    | Crash
    | Segfault
    | Abort
    | Oom
    | Hang
    | Freeze
    | Garbage
    | Oversize
    | After
)


def parse_order(prompt: str) -> Order:
    """Read a prompt: an order if it begins with `!`, else something to echo.

    Raises `InvalidRequest` naming the order and its allowed form.
    """
    if not prompt.startswith("!"):
        return Echo()
    word, rest = [*prompt.strip().split(maxsplit=1), ""][:2]
    if word in _PLAIN:
        if rest:
            raise _misused(word, word, prompt)
        return _PLAIN[word]
    if word in _FORMS:
        form, read = _FORMS[word]
        try:
            return read(rest)
        except ValueError as error:
            raise _misused(word, form, prompt) from error
    known = ", ".join([*_PLAIN, *_FORMS])
    raise InvalidRequest(f"prompt: found the order {word[:40]!r}, known are {known}", param="prompt")


def _misused(word: str, form: str, prompt: str) -> InvalidRequest:
    return InvalidRequest(f"prompt: the order {word} has the form {form!r}, found {prompt[:80]!r}", param="prompt")


def _seconds(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(text)
    return number


def _count(text: str, most: int = MAX_TOKENS) -> int:
    number = int(text)
    if not 0 <= number <= most:
        raise ValueError(text)
    return number


def _read_tokens(rest: str) -> Order:
    count, delay = rest.split()
    return Tokens(_count(count), _seconds(delay))


def _read_error(rest: str) -> Order:
    if not rest:
        raise ValueError(rest)
    return Error(rest)


def _read_after(rest: str) -> Order:
    count, order = rest.split(maxsplit=1)
    if not order.startswith("!"):
        raise ValueError(rest)
    return After(_count(count), parse_order(order))


_PLAIN: Mapping[str, Order] = {
    "!crash": Crash(),
    "!segfault": Segfault(),
    "!abort": Abort(),
    "!oom": Oom(),
    "!hang": Hang(),
    "!freeze": Freeze(),
    "!garbage": Garbage(),
    "!oversize": Oversize(),
}
_FORMS: Mapping[str, tuple[str, Callable[[str], Order]]] = {
    "!tokens": ("!tokens N DELAY_S", _read_tokens),
    "!sleep": ("!sleep S", lambda rest: Sleep(_seconds(rest))),
    "!exit": ("!exit CODE", lambda rest: Exit(_count(rest, 255))),
    "!error": ("!error TEXT", _read_error),
    "!gil": ("!gil S", lambda rest: Gil(_seconds(rest))),
    "!leak": ("!leak MB", lambda rest: Leak(_seconds(rest))),
    "!after": ("!after K ORDER…", _read_after),
}
