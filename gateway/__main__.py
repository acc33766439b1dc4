"""`python -m infsup.gateway`: started by the supervisor, with the settings as one JSON line on stdin."""

import asyncio
import logging
import sys

from infsup.protocol.errors import InfsupError
from infsup.protocol.parent import tie_to_parent

from .process import set_up_signals
from .server import serve
from .settings import SettingsError, read_settings

EXIT_USAGE = 64
"""EX_USAGE of sysexits.h: started by hand, or with settings that make no sense."""


def main() -> int:
    """Run the gateway and return the exit status: 0 after SIGTERM, 1 when it could not serve."""
    set_up_signals()
    try:
        settings = read_settings(sys.stdin.readline())
    except SettingsError as error:
        sys.stderr.write(f"this program is started by infsup: {error}\n")
        return EXIT_USAGE
    logging.basicConfig(level=_level(settings.log_level), stream=sys.stderr, format="%(levelname)s %(message)s")
    if not tie_to_parent(settings.parent):
        sys.stderr.write(f"the supervisor with pid {settings.parent} is gone\n")
        return 1
    try:
        asyncio.run(serve(settings))
    except (InfsupError, TimeoutError, OSError) as error:
        logging.getLogger("infsup.gateway").error("cannot serve: %s", error)  # noqa: TRY400 - it says all
        return 1
    return 0


def _level(name: str) -> int:
    return {"trace": logging.DEBUG, **logging.getLevelNamesMapping()}.get(name.upper(), logging.INFO)


if __name__ == "__main__":
    sys.exit(main())
