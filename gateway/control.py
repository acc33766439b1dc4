"""Control calls of handlers."""

from typing import Any

from infsup.protocol.client import Client
from infsup.protocol.errors import ShuttingDown

TIMEOUT_S = 10.0


async def ask(gateway: Client, verb: str, /, *, timeout: float = TIMEOUT_S, **args: Any) -> Any:
    """Make a control call and return its reply. Raises `InfsupError`; `ShuttingDown` when nobody answers."""
    try:
        return await gateway.control(verb, timeout=timeout, **args)
    except TimeoutError as error:
        raise ShuttingDown(f"the supervisor has not answered within {timeout:g} s") from error
