"""Checks that look at the disk: whether a file can be read, interpreters, key files."""

import os
from pathlib import Path

from .models import ModelConfig
from .problems import Findings, KeyPath
from .rules import Refused

_MAX_KEY_FILE_BYTES = 1_000_000


def check_python(model: ModelConfig, path: KeyPath, findings: Findings) -> None:
    """Note an interpreter that cannot be run."""
    place = (*path, "python")
    if model.python and findings.sound(place):
        reason = why_unreadable(model.python, directory=False)
        if not reason and not os.access(model.python, os.X_OK):
            reason = f"not executable: {model.python}"
        if reason:
            findings.add(place, "the path of a Python interpreter", note=reason)


def read_api_keys(file: Path) -> tuple[str, ...]:
    """Return the keys in a file, one a line, without empty lines and comments. Raises `Refused` with the reason."""
    reason = why_unreadable(file, directory=False)
    if reason:
        raise Refused(reason)
    try:
        with file.open("rb") as stream:
            content = stream.read(_MAX_KEY_FILE_BYTES).decode()
    except OSError as error:
        raise Refused(f"{error.strerror or error}: {file}") from None
    except UnicodeDecodeError:
        raise Refused("the file is not UTF-8 text") from None
    lines = (line.strip() for line in content.splitlines())
    keys = tuple(line for line in lines if line and not line.startswith("#"))
    if not keys:
        raise Refused("the file has no keys")
    for number, key in enumerate(keys, start=1):
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise Refused(f"key {number} of the file has spaces or characters that are not visible ASCII")
    return keys


def why_unreadable(file: Path, *, directory: bool) -> str:
    """Return why a file cannot be used, "" if it can."""
    try:
        if not file.exists():
            return f"no such file: {file}"
        if file.is_dir() and not directory:
            return f"a directory: {file}"
    except OSError as error:
        return f"{error.strerror or error}: {file}"
    return "" if os.access(file, os.R_OK) else f"not readable: {file}"
