"""Reading forward through the head of a GGUF file, with every length checked against the file's size.

It is read, not mapped: a mapped file that somebody shortens would kill this process.
"""

import io
import os
import stat
import struct
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_MAX_STRINGS = 8_000_000
_CHUNK_BYTES = 1 << 20
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")


class GgufError(Exception):
    """The file is no GGUF file that can be used; the message says which file and why."""


@contextmanager
def opened(path: Path) -> Generator[io.FileIO]:
    """Open a regular file for reading. Raises `GgufError` for anything else, `OSError` if it cannot be opened."""
    # Non-blocking: opening a named pipe would wait for its writer.
    with io.FileIO(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise GgufError("not a regular file")
        yield stream


class Head:
    """A position in a file that moves forward only. Raises `GgufError` where the file ends too early."""

    def __init__(self, stream: io.FileIO, size: int) -> None:
        """Begin at the start of a file of `size` bytes."""
        self._stream = stream
        self._size = size
        self._data = b""
        self._start = 0  # where in the file the data begins
        self._at = 0  # the position in the data
        self._strings_left = _MAX_STRINGS

    def scalar(self, form: struct.Struct) -> int | float | bool:
        """Read one number."""
        self._need(form.size)
        value: int | float | bool = form.unpack_from(self._data, self._at)[0]
        self._at += form.size
        return value

    def u32(self) -> int:
        """Read a number of 4 bytes."""
        return int(self.scalar(_U32))

    def u64(self) -> int:
        """Read a number of 8 bytes."""
        return int(self.scalar(_U64))

    def take(self, count: int) -> bytes:
        """Read bytes; the caller has checked that there are not too many to keep."""
        self._need(count)
        self._at += count
        return self._data[self._at - count : self._at]

    def skip(self, count: int) -> None:
        """Go forward without reading."""
        self._at += count
        if self._start + self._at > self._size:
            raise self._truncated(self._start + self._at)

    def skip_strings(self, count: int) -> None:
        """Skip strings, of which a vocabulary has hundreds of thousands, without making objects of them."""
        self._strings_left -= count
        if self._strings_left < 0:
            raise GgufError(f"more than {_MAX_STRINGS} strings in the metadata")
        unpack = _U64.unpack_from
        while count:
            self._need(_U64.size)
            data, at, end = self._data, self._at, len(self._data) - _U64.size
            for done in range(count):
                if at > end:
                    count -= done
                    break
                at += 8 + unpack(data, at)[0]
            else:
                count = 0
            self._at = at
        self.skip(0)

    def _need(self, count: int) -> None:
        """Have `count` bytes in the data from the position on."""
        if self._at + count <= len(self._data):
            return
        self._start += self._at
        if self._start + count > self._size:
            raise self._truncated(self._start + count)
        self._stream.seek(self._start)
        # The chunk is cut to the file, lest reading small files clears a large buffer each time.
        self._data = self._stream.read(min(max(count, _CHUNK_BYTES), self._size - self._start))
        self._at = 0
        if len(self._data) < count:
            raise self._truncated(self._start + count)

    def _truncated(self, wanted: int) -> GgufError:
        wanted_text = f"{wanted}" if wanted < 1 << 62 else "an absurd number of"
        return GgufError(f"truncated or damaged: the head needs {wanted_text} bytes, the file has {self._size}")
