"""Sizes, durations and core lists: the texts a configuration may say, and what they mean."""

import re
from dataclasses import dataclass

MAX_BYTES = 2**63 - 1
MAX_CORE = 4095
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,6})?"
_SIZE = re.compile(rf"({_NUMBER}) ?(B|[KMGT]i?B)", re.IGNORECASE)
_SHARE = re.compile(rf"({_NUMBER}) ?%")
_DURATION = re.compile("".join(rf"(?:({_NUMBER}){unit})?" for unit in ("d", "h", "m", "s", "ms")))
_SECONDS = (86400.0, 3600.0, 60.0, 1.0, 0.001)
_CORES = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_UNITS = {"b": 1} | {
    f"{letter}{infix}b": base**power
    for power, letter in enumerate("kmgt", start=1)
    for infix, base in (("", 1000), ("i", 1024))
}


@dataclass(frozen=True, slots=True)
class Size:
    """A number of bytes."""

    bytes: int

    def of(self, total_bytes: int) -> int:
        """Return the bytes; a `Share` in the same place would ask for the total."""
        return self.bytes

    def __str__(self) -> str:
        """Return the shortest exact text, such as `50MB` or `4GiB`."""
        for factor, unit in sorted(((factor, unit) for unit, factor in _UNITS.items()), reverse=True):
            if self.bytes and self.bytes % factor == 0:
                return f"{self.bytes // factor}{_written(unit)}"
        return f"{self.bytes}B"


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole, in percent."""

    percent: float

    def of(self, total_bytes: int) -> int:
        """Return this share of `total_bytes`, in bytes."""
        return int(total_bytes * self.percent / 100)

    def __str__(self) -> str:
        """Return a text such as `80%`."""
        return f"{self.percent:g}%"


def _written(unit: str) -> str:
    return unit.upper().replace("I", "i").replace("KB", "kB")


def parse_size(text: str) -> Size:
    """Read `50MB` (1000²), `12GiB` (1024³), `1.5 GB`, `512B`. Raises `ValueError`."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    size = Size(round(float(match[1]) * _UNITS[match[2].lower()]))
    if size.bytes > MAX_BYTES:
        raise ValueError(text)
    return size


def parse_share(text: str) -> Share:
    """Read `80%`, over 0 and at most 100. Raises `ValueError`."""
    match = _SHARE.fullmatch(text)
    if match is None or not 0 < float(match[1]) <= 100:
        raise ValueError(text)
    return Share(float(match[1]))


def parse_duration(text: str) -> float:
    """Read `300s`, `5m`, `1h30m`, `2d`, `250ms`; the units largest first. Returns seconds; raises `ValueError`."""
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError(text)
    return sum(float(part) * factor for part, factor in zip(match.groups(), _SECONDS, strict=True) if part)


def parse_cores(text: str) -> tuple[int, ...]:
    """Read a list of core numbers and ranges such as `0-3,6`; sorted, each once. Raises `ValueError`."""
    cores: set[int] = set()
    for part in text.split(","):
        match = _CORES.fullmatch(part.strip())
        if match is None:
            raise ValueError(text)
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last or last > MAX_CORE:
            raise ValueError(text)
        cores.update(range(first, last + 1))
    return tuple(sorted(cores))
