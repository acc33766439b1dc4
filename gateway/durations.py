"""Durations as clients write them."""

import math
import re

from infsup.protocol.errors import InvalidRequest

from .body import shown

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_MAX_TEXT = 32


def read_keep_alive(value: object, param: str = "keep_alive") -> float:
    """Return seconds from a number of seconds, "5m", "1h30m", 0 (end at once) or -1 (never).

    Raises `InvalidRequest` naming `param`.
    """
    seconds = _seconds(value)
    if seconds is None or not math.isfinite(seconds) or (seconds < 0 and seconds != -1):
        raise InvalidRequest(
            f'{param}: found {shown(value)}, allowed are seconds, a duration such as "5m" or "1h30m", 0 and -1',
            param=param,
        )
    return seconds


def read_timeout(value: object, param: str = "timeout") -> float:
    """Return seconds from a number (also as a header's text); 0 means no limit. Raises `InvalidRequest`."""
    seconds = _seconds(value)
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        raise InvalidRequest(f"{param}: found {shown(value)}, allowed is 0 or more seconds", param=param)
    return seconds


def _seconds(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        # An integer of thousands of digits does not fit a float.
        return float(value) if -1e15 < value < 1e15 else None
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        return None
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    if _WHOLE.fullmatch(text):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    return None
