"""Control calls of handlers."""

from typing import Any

from infsup.protocol.client import Client
from infsup.protocol.errors import ShuttingDown

TIMEOUT_S = 10.0


async def ask(client: Client, verb: str, **args: Any) -> Any:
    """Make a control call and return its reply. Raises `InfsupError`; `ShuttingDown` when nobody answers."""
    try:
        return await client.control(verb, timeout=TIMEOUT_S, **args)
    except TimeoutError as error:
        raise ShuttingDown(f"the supervisor has not answered within {TIMEOUT_S:g} s") from error
