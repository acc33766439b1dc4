"""Memory of large messages goes back to the system as soon as they are gone."""

import contextlib
import ctypes

LARGE_BYTES = 4 * 1024 * 1024
"""With 256 KiB a chat through the whole server took half a millisecond longer: mapping costs page faults."""
_M_MMAP_THRESHOLD = -3
"""From glibc's malloc.h; see mallopt(3)."""


def return_large_blocks() -> None:
    """Have glibc map each block of `LARGE_BYTES` and more by itself, and unmap it when it is freed.

    By itself it raises that threshold to the largest block that was ever freed, up to 32 MiB: after a few large
    requests the heap keeps tens of megabytes for ever. Harmless where the C library is another.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
