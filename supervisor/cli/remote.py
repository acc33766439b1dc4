"""Control calls to a running server, from the command line."""

import asyncio
import contextlib
import os
import select
from pathlib import Path
from typing import Any

from infsup.protocol.client import Client
from infsup.protocol.runtime import RuntimeDirectoryError
from infsup.supervisor.runtime_lock import is_served


def call(directory: Path, verb: str, *, timeout: float = 10.0, **args: Any) -> Any:
    """Make one control call; `timeout` in seconds.

    Raises `RuntimeDirectoryError` if no server runs there, `InfsupError`, `TimeoutError`.
    """
    if not is_served(directory):
        raise RuntimeDirectoryError(
            f"no server is running for this configuration ({directory}); start it with `infsup start`, "
            "or name its --runtime-dir"
        )
    return asyncio.run(_call(directory, verb, timeout, args))


async def _call(directory: Path, verb: str, timeout: float, args: dict[str, Any]) -> Any:
    async with Client(directory) as client:
        return await client.control(verb, timeout=timeout, **args)


def wait_until_gone(pid: int) -> None:
    """Wait until a process has ended."""
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        try:
            select.select([fd], [], [])
        finally:
            os.close(fd)
