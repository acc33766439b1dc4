"""Where a running server is found: its runtime directory and the sockets in it."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

MAX_SOCKET_PATH_BYTES = 100
"""sun_path holds 108 bytes (unix(7)); a margin for ZeroMQ's own suffix."""


class RuntimeDirectoryError(Exception):
    """The directory cannot be used; the message says why and what to do."""


def runtime_directory(
    config: Path | None, override: str | Path | None = None, env: Mapping[str, str] | None = None
) -> Path:
    """Return the runtime directory of the server for this config file (None: the built-in one).

    `override` wins, then `$XDG_RUNTIME_DIR/infsup/<8 hex of the config path>`, else the same under the temporary
    folder with the user's id. Nothing is created. Raises `RuntimeDirectoryError` when the socket path is too long.
    """
    env = os.environ if env is None else env
    if override:
        directory = Path(override).expanduser().absolute()
    else:
        name = str(config.absolute()) if config else ""
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        base = env.get("XDG_RUNTIME_DIR", "")
        root = Path(base) / "infsup" if base and Path(base).is_dir() else _fallback_root()
        directory = root / digest
    longest = len(os.fsencode(directory / "workers"))
    if longest > MAX_SOCKET_PATH_BYTES:
        raise RuntimeDirectoryError(
            f"the runtime directory {directory} is too long: its sockets' paths would have {longest} bytes, "
            f"and Unix sockets allow {MAX_SOCKET_PATH_BYTES} here; choose a shorter one with --runtime-dir"
        )
    return directory


def _fallback_root() -> Path:
    return Path(tempfile.gettempdir()) / f"infsup-{os.getuid()}"


def jobs_endpoint(directory: Path) -> str:
    """Return the address clients connect to."""
    return f"ipc://{directory / 'jobs'}"


def jobs_endpoint_beside(workers_endpoint: str) -> str:
    """Return the address clients connect to, given the one for workers of the same runtime directory."""
    return jobs_endpoint(Path(workers_endpoint.removeprefix("ipc://")).parent)


def workers_endpoint(directory: Path) -> str:
    """Return the address workers connect to."""
    return f"ipc://{directory / 'workers'}"
