"""Finds the configuration file, reads it, and hands its content to be checked."""

import importlib.util
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .lines import locate_keys
from .problems import ConfigError, Findings, KeyPath, Problem
from .read import read_config
from .root import Config

DEFAULT_NAME = "infsup.toml"
VARIABLE = "INFSUP_CONFIG"
_MAX_BYTES = 10_000_000
_WANTED = "a TOML file"
_SYNTAX = 'TOML, such as key = "text" or key = 5, one a line'
_PLACE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


def find_config(
    argument: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    *,
    builtin: bool = False,
) -> Path | None:
    """Return the absolute path of the file to use: the argument, else `$INFSUP_CONFIG`, else `./infsup.toml`.

    A file that is named so is returned whether it exists or not; nothing is read. Without any: None, which stands for
    the built-in configuration, if `builtin`, else `ConfigError`.
    """
    env = os.environ if env is None else env
    cwd = Path.cwd() if cwd is None else cwd
    named = argument or env.get(VARIABLE)
    if named:
        return cwd / os.path.expanduser(named)  # noqa: PTH111 - Path.expanduser raises for unknown users
    if os.path.lexists(cwd / DEFAULT_NAME):
        return cwd / DEFAULT_NAME
    if builtin:
        return None
    wanted = f"a file as argument, in ${VARIABLE}, or ./{DEFAULT_NAME}"
    raise ConfigError([Problem("", "no configuration", wanted, f"looked in {cwd}")])


def builtin_config() -> Path:
    """Return the path of the built-in configuration, which serves the tiny model. Imports no worker code."""
    spec = importlib.util.find_spec("infsup.workers")
    places = list(spec.submodule_search_locations or []) if spec else []
    return Path(places[0] if places else ".", "models", "tiny.toml").absolute()


def load_config(
    path: Path | None,
    env: Mapping[str, str] | None = None,
    server: Mapping[str, object] | None = None,
    fit: Callable[[Config, Findings], Config] | None = None,
) -> Config:
    """Read and check a configuration file; None is the built-in one.

    `server` has values from the command line that replace those of the `[server]` table, such as `host` and `port`;
    values that are None are skipped, mistakes in others are told as `--host` and `--port`. `fit` is for
    `load_here`, which also checks whether this machine can meet it.
    Raises `ConfigError` with every mistake.
    """
    place = builtin_config() if path is None else path.absolute()
    file = _shown(place)
    text = _read_text(place, file)
    raw = _parse_toml(text, file)
    lines = locate_keys(text)
    replaced = {key: value for key, value in (server or {}).items() if value is not None}
    table: object = raw.get("server", {})
    flags: dict[KeyPath, str] = {}
    if replaced and isinstance(table, dict):
        raw["server"] = {**table, **replaced}
        flags = {("server", key): f"--{key.replace('_', '-')}" for key in replaced}
    env = os.environ if env is None else env
    config = read_config(raw, place.parent, env, Findings(raw, lines, file, flags), fit)
    return config.at(None if path is None else place)


def parse_config(
    mapping: Mapping[str, Any], base_dir: Path | None = None, env: Mapping[str, str] | None = None
) -> Config:
    """Check a configuration given as a mapping with the tables and keys of the file.

    Relative paths start at `base_dir`, by default the working directory. Raises `ConfigError` with every mistake.
    """
    base = (base_dir or Path()).absolute()
    return read_config(mapping, base, os.environ if env is None else env, Findings(mapping, {}, ""))


def _shown(place: Path) -> str:
    """Return the shorter way to write a path: from the working directory if it is inside."""
    cwd = Path.cwd()
    return str(place.relative_to(cwd) if place.is_relative_to(cwd) else place)


def _read_text(place: Path, file: str) -> str:
    try:
        if not (place.is_file() or place.is_dir()) and place.exists():
            # To open a pipe waits for a writer: a reload would wait for ever, and no later one could begin.
            raise ConfigError([Problem("", "a pipe or a device", _WANTED, "it could not be read again", file)])
        with place.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except IsADirectoryError:
        inside = place / DEFAULT_NAME
        note = f"did you mean {_shown(inside)}?" if inside.is_file() else ""
        raise ConfigError([Problem("", "a directory", _WANTED, note, file)]) from None
    except FileNotFoundError:
        raise ConfigError([Problem("", "no such file", _WANTED, "", file)]) from None
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error)
        raise ConfigError([Problem("", "a file that cannot be read", _WANTED, reason, file)]) from None
    if len(content) > _MAX_BYTES:
        raise ConfigError([Problem("", "a larger file", f"at most {_MAX_BYTES} bytes", "", file)])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"a byte that is not UTF-8 text: 0x{content[error.start]:02x}"
        raise ConfigError([Problem("", found, "a TOML file in UTF-8", "", file, line)]) from None


def _parse_toml(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits is a plain ValueError
        match = _PLACE.fullmatch(str(error))
        if match is None:
            problem = Problem("", "a file that is not TOML", _WANTED, str(error), file)
        elif match[2] is None:
            last = text.count("\n", 0, len(text.rstrip())) + 1
            problem = Problem("", "a mistake in the TOML", _SYNTAX, f"{match[1]}, at the end", file, last)
        else:
            problem = Problem(
                "", "a mistake in the TOML", _SYNTAX, f"{match[1]}, at column {match[3]}", file, int(match[2])
            )
        raise ConfigError([problem]) from None
