"""The process-wide side of llama.cpp: importing it, its log, and what keeps it from aborting us."""

import importlib
import os
import re
import sys
from collections import deque
from functools import cache
from typing import Any

_WARNING, _ERROR, _CONTINUED = 3, 4, 5
"""ggml_log_level of ggml.h."""


_PREFIX = re.compile(r"^\w+: (error loading model: )?")


_OVERFLOW = "possible training context overflow"


class LogTail:
    """llama.cpp's log: warnings and errors go to standard error, the last errors are kept for messages."""

    def __init__(self) -> None:
        """Start empty."""
        self._level = 0
        self._errors: deque[str] = deque(maxlen=8)

    def write(self, level: int, text: bytes | None, _user_data: object) -> None:
        """Take one piece of log; a piece of level "continued" belongs to the one before."""
        if level != _CONTINUED:
            self._level = level
        line = (text or b"").decode(errors="replace")
        if _OVERFLOW in line:  # said of all sequences together; for each, the size was compared before
            return
        if self._level >= _WARNING:
            sys.stderr.write(line)
        if self._level == _ERROR and line.strip(" .\n"):
            self._errors.append(line.strip())

    def take_errors(self) -> str:
        """Return the errors since the last call, as one line without the names of C functions."""
        lines = [_PREFIX.sub("", line) for line in self._errors]
        self._errors.clear()
        telling = [line for line in lines if not line.startswith("failed to load model")]
        return "; ".join(telling or lines) or "no reason given"


@cache
def load_library() -> tuple[Any, LogTail]:
    """Import llama_cpp and direct its log to a `LogTail`; both live as long as the process, as C code holds them.

    Raises `ModuleNotFoundError`.
    """
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")  # or a failed assertion would start gdb
    library: Any = importlib.import_module("llama_cpp")
    log = LogTail()
    callback = library.llama_log_callback(log.write)
    log.callback = callback  # type: ignore[attr-defined]
    library.llama_log_set(callback, None)
    library.llama_backend_init()
    return library, log
