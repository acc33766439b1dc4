"""How much memory instances have needed: the peaks of earlier runs of the same load key.

The store is one small JSON file. It is a convenience: when it is missing, damaged or cannot be written, estimates take
its place, and one warning says so.
"""

import contextlib
import logging
import os
import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

log = logging.getLogger("infsup.footprint")

FILE_NAME = "footprints.json"
MAX_KEYS = 1000
RECENT_RUNS = 5
"""Runs that count, so that one that leaked is forgotten after a few more."""
MARGIN = 1.05
_MAX_FILE_BYTES = 8_000_000
_Bytes = Annotated[int, Field(ge=0, le=1 << 60)]
_Seconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Footprint:
    """The memory that an instance is expected to need, in bytes.

    `mapped_bytes` is a part of `bytes` that a second instance of the same key shares with the first: mapped weights.
    `load_seconds` is None until a load was seen.
    """

    bytes: int
    learned: bool
    mapped_bytes: int = 0
    load_seconds: float | None = None


class _Run(BaseModel):
    """The peaks of one instance's life. `id` is "" for runs of earlier servers."""

    model_config = ConfigDict(strict=True)

    id: str = Field(default="", exclude=True)
    own: _Bytes = 0
    mapped: _Bytes = 0
    load_seconds: _Seconds | None = None


class _File(BaseModel):
    """What the file has."""

    model_config = ConfigDict(strict=True)

    version: Literal[1]
    keys: dict[str, list[_Run]]


class FootprintStore:
    """Peaks of the last runs of each load key. Not for use by several threads; no method but `save` does I/O."""

    def __init__(self, path: Path) -> None:
        """Read the store's file; `path` is the directory that has it, made with the first `save`."""
        self._path = path / FILE_NAME
        self._complained = False
        self._dirty = False
        self._runs: OrderedDict[str, list[_Run]] = OrderedDict()  # the most recently used key last
        self._read()

    def observe(
        self, key: str, own_bytes: int, *, run: str, mapped_bytes: int = 0, load_seconds: float | None = None
    ) -> None:
        """Note what an instance holds, or has held at its peak; as often as one likes, only its peaks count.

        `own_bytes` is RssAnon + VmSwap. `mapped_bytes` is RssFile: weights that are mapped belong to no process, but
        an instance is as slow as the disk when there is no memory for them. `run` is the instance's id, unique within
        this process. Meaningless numbers (0, negative) raise no peak.
        """
        runs = self._runs.setdefault(key, [])
        self._runs.move_to_end(key)
        last = next((one for one in runs if one.id == run), None)
        if last is None:
            last = _Run(id=run)
            runs.append(last)
            del runs[:-RECENT_RUNS]
        before = (last.own, last.mapped, last.load_seconds)
        last.own, last.mapped = max(last.own, own_bytes), max(last.mapped, mapped_bytes)
        last.load_seconds = last.load_seconds if load_seconds is None else load_seconds
        self._dirty = self._dirty or before != (last.own, last.mapped, last.load_seconds)
        while len(self._runs) > MAX_KEYS:
            self._runs.popitem(last=False)

    def learned(self, key: str) -> Footprint | None:
        """Return what an instance will need by what earlier ones did, rather too high; None if none has run."""
        runs = [run for run in self._runs.get(key, ()) if run.own > 0]
        if not runs:
            return None
        self._runs.move_to_end(key)
        mapped = max(run.mapped for run in runs)
        loads = [run.load_seconds for run in runs if run.load_seconds is not None]
        return Footprint(
            int((max(run.own for run in runs) + mapped) * MARGIN),
            learned=True,
            mapped_bytes=mapped,
            load_seconds=median(loads) if loads else None,
        )

    def save(self) -> None:
        """Write the file if there is anything new. A failure is logged once and tried again with the next call."""
        content = self.take_news()
        if content:
            self.write(content)

    def take_news(self) -> str:
        """Return the file's new content, which the caller is to `write`; empty if there is nothing new."""
        if not self._dirty:
            return ""
        self._dirty = False
        return _File(version=1, keys=dict(self._runs)).model_dump_json()

    def write(self, content: str) -> None:
        """Write the file. May block for long, and may be called from another thread: it looks at no footprints."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _replace(self._path, content)
        except OSError as error:
            self._dirty = True
            self._complain("cannot be written", error.strerror or str(error))

    def _read(self) -> None:
        try:
            with self._path.open("rb") as stream:
                content = stream.read(_MAX_FILE_BYTES)
            keys = _File.model_validate_json(content).keys
        except FileNotFoundError:
            return
        except OSError as error:
            self._complain("cannot be read", error.strerror or str(error))
            return
        except ValidationError as error:
            self._complain("cannot be read", error.errors(include_url=False)[0]["msg"])
            return
        for key, runs in list(keys.items())[-MAX_KEYS:]:
            self._runs[key] = [run.model_copy(update={"id": ""}) for run in runs[-RECENT_RUNS:]]

    def _complain(self, what: str, why: str) -> None:
        if not self._complained:
            log.warning("%s %s: %s; memory needs are estimated from file sizes", self._path, what, why)
        self._complained = True


def _replace(path: Path, content: str) -> None:
    """Write a file so that a crash leaves the old or the new one, never a part."""
    descriptor, name = tempfile.mkstemp(prefix=path.name, suffix=".new", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(content)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
