"""What a request says about how its job is to be run, in the body or in headers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infsup.protocol.errors import InvalidRequest
from infsup.protocol.job import MAX_PRIORITY, MIN_PRIORITY

from .body import shown
from .durations import read_keep_alive, read_timeout

_INTEGER = re.compile(r"[+-]?\d{1,4}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Options:
    """As in `JobHeader`; None for `timeout` and `keep_alive` means the model's own."""

    priority: int = 0
    timeout: float | None = None
    keep_alive: float | None = None
    wait: bool = True


def read_options(body: Mapping[str, Any], headers: Mapping[str, str]) -> Options:
    """Read the options, None meaning left out; the body wins over `X-Priority` and `X-Timeout`.

    Raises `InvalidRequest` naming the field.
    """
    wait = body.get("wait")
    if wait is not None and not isinstance(wait, bool):
        raise InvalidRequest(f"wait: found {shown(wait)}, allowed is true or false", param="wait")
    return Options(_priority(body, headers), _timeout(body, headers), _keep_alive(body), wait is not False)


def _priority(body: Mapping[str, Any], headers: Mapping[str, str]) -> int:
    value: object = body.get("priority")
    param = "priority"
    if value is None and (text := headers.get("X-Priority")) is not None:
        param = "X-Priority"
        value = int(text) if _INTEGER.fullmatch(text) else text
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not MIN_PRIORITY <= value <= MAX_PRIORITY:
        allowed = f"a whole number from {MIN_PRIORITY} to {MAX_PRIORITY}"
        raise InvalidRequest(f"{param}: found {shown(value)}, allowed is {allowed}", param=param)
    return value


def _timeout(body: Mapping[str, Any], headers: Mapping[str, str]) -> float | None:
    if (value := body.get("timeout")) is not None:
        return read_timeout(value)
    text = headers.get("X-Timeout")
    return None if text is None else read_timeout(text, "X-Timeout")


def _keep_alive(body: Mapping[str, Any]) -> float | None:
    value = body.get("keep_alive")
    return None if value is None else read_keep_alive(value)
