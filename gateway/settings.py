"""What the supervisor tells a gateway when it starts it: one JSON line on stdin."""

import json
from dataclasses import dataclass
from typing import Any

from infsup.protocol.fields import from_map
from infsup.protocol.wire import WireError


class SettingsError(Exception):
    """The line on stdin is not what a gateway needs; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`fd` is a listening socket that this process inherited, `identity` the hex of the ZeroMQ identity to use.

    `parent` is the supervisor's pid, `max_body` in bytes. `api_keys` empty means open. `cors_origins` may hold "*".
    """

    endpoint: str
    identity: str
    fd: int
    parent: int
    name: str = "gateway"
    max_body: int = 50_000_000
    api_keys: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    log_level: str = "info"
    version: str = "0"

    @property
    def identity_bytes(self) -> bytes:
        """The ZeroMQ identity."""
        return bytes.fromhex(self.identity)


def read_settings(line: str) -> Settings:
    """Read the line. Raises `SettingsError`; its message never repeats the line, which holds keys."""
    try:
        values: Any = json.loads(line)
    except ValueError as error:
        raise SettingsError(f"the settings on stdin are not JSON: {error}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"the settings on stdin are {type(values).__name__}, expected an object")
    try:
        settings = from_map(Settings, values)  # pyright: ignore[reportUnknownArgumentType]
        _ = settings.identity_bytes
    except (WireError, ValueError) as error:
        raise SettingsError(f"the settings on stdin: {error}") from error
    return settings
