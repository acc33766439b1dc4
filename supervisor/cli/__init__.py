"""The command line: `infsup COMMAND`. Exit status 0 = done, 1 = could not, 2 = wrong arguments or configuration."""

import os
import sys

from infsup.protocol.errors import InfsupError
from infsup.protocol.runtime import RuntimeDirectoryError


def main() -> None:
    """Run the command line; errors of users are one line on stderr, never a traceback."""
    if sys.argv[1:2] == ["start"]:
        from infsup.supervisor.__main__ import main as start  # noqa: PLC0415 - the other commands need no server

        sys.exit(start(sys.argv[2:]))
    from .app import app  # noqa: PLC0415 - the server needs no typer and no rich

    try:
        app(prog_name="infsup")
    except InfsupError as error:
        _fail(f"{error.message} ({error.code})")
    except (RuntimeDirectoryError, TimeoutError) as error:
        _fail(str(error))
    except BrokenPipeError:
        # The reader of our output has left (`infsup ps | head`): nothing to say, and nowhere to say it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str) -> None:
    print(f"infsup: {message}", file=sys.stderr)
    sys.exit(1)
