"""The fault engine's options: what goes wrong before any job comes."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from infsup.protocol.errors import InvalidRequest

MAX_CAPACITY = 256
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


@dataclass(frozen=True, slots=True)
class FaultOptions:
    """Times are in seconds, `memory` in bytes.

    `load_order_file` is the path of a file that holds an order: the next load obeys it, once, and removes the file.
    `no_hello` and `ignore_sigterm` have to be known before this engine is: the supervisor passes them in the
    environment too.
    """

    load_delay: float = 0.0
    load_fail: str = ""
    load_crash: bool = False
    load_order_file: str = ""
    no_hello: bool = False
    ignore_sigterm: bool = False
    ignore_cancel: bool = False
    token_delay: float = 0.0
    capacity: int = 1
    memory: int = 0


def read_options(values: Mapping[str, Any]) -> FaultOptions:
    """Check the options of a model. Raises `InvalidRequest` naming the option, what was found and what is allowed."""
    known = {field.name: field.type for field in fields(FaultOptions)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise InvalidRequest(f"options: found {', '.join(unknown)}, known are {', '.join(known)}", param="options")
    return FaultOptions(**{name: _read(name, known[name], value) for name, value in values.items()})


def _read(name: str, kind: Any, value: Any) -> Any:
    if name == "memory":
        return _read_bytes(value)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if math.isfinite(value) and value >= 0:
            return float(value)
        raise _wrong(name, value, "0 or more seconds")
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _wrong(name, value, {float: "a number", bool: "true or false", str: "a string"}.get(kind, "an integer"))
    if name == "capacity" and not 1 <= value <= MAX_CAPACITY:
        raise _wrong(name, value, f"1 to {MAX_CAPACITY}")
    return value


def _read_bytes(value: Any) -> int:
    match = re.fullmatch(r"(\d+)\s*([A-Za-z]*)", value) if isinstance(value, str) else None
    if match and match[2].upper() in _UNITS:
        return int(match[1]) * _UNITS[match[2].upper()]
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise _wrong("memory", value, "a number of bytes such as '200MB' or '1GiB'")


def _wrong(name: str, value: Any, allowed: str) -> InvalidRequest:
    return InvalidRequest(f"options.{name}: found {value!r}, allowed is {allowed}", param=f"options.{name}")
