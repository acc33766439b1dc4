"""Changes the configuration of a running server, for better or worse."""

import asyncio
import os
import signal
import time
from pathlib import Path

from .landscape import configuration, edition_alias

_BROKEN = "\n[models.what]\ntask = 7\nengine = [\n"
_REFUSAL_S = 2.0
"""How long a broken file stays: time to read and refuse it."""


class Reloader:
    """Owns the configuration file while the server runs; one change at a time."""

    def __init__(self, supervisor: int, file: Path) -> None:
        """`file` is what the server was started with."""
        self._supervisor = supervisor
        self._file = file
        self._lock = asyncio.Lock()

    async def change_config(self, edition: int) -> tuple[float, str]:
        """Write another edition and ask for a reload; return when, and a name that only this edition has."""
        async with self._lock:
            asked_at = self._reload(configuration(self._file.parent, edition))
        return asked_at, edition_alias(edition)

    async def break_config(self) -> float:
        """Write a broken file, ask for a reload, put the good one back; return when it was refused (or not)."""
        async with self._lock:
            good = self._file.read_text(encoding="utf-8")
            try:
                self._reload(good + _BROKEN)
                await asyncio.sleep(_REFUSAL_S)
            finally:
                self._file.write_text(good, encoding="utf-8")
        return time.monotonic()

    def _reload(self, text: str) -> float:
        self._file.write_text(text, encoding="utf-8")
        os.kill(self._supervisor, signal.SIGHUP)
        return time.monotonic()
