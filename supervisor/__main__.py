"""The supervisor's own process: what `infsup start` becomes. Arguments are checked by the command line before."""

import argparse
import asyncio
import gc
import sys
from pathlib import Path

from infsup.protocol.runtime import RuntimeDirectoryError, runtime_directory

from .config import Config, ConfigError, load_config
from .gateway_process import ListenError
from .logs import set_up_logging
from .server import Server


def main() -> int:
    """Serve; returns the exit status: 0 after a clean stop, 1 when it could not run, 2 for a bad configuration."""
    parser = argparse.ArgumentParser(prog="infsup start")
    parser.add_argument("config", nargs="?", type=Path, help="the built-in configuration if left out")
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--runtime-dir", type=Path)
    arguments = parser.parse_args()
    try:
        config = load_config(arguments.config, server={"host": arguments.host, "port": arguments.port})
        directory = runtime_directory(arguments.config, arguments.runtime_dir)
        set_up_logging(config.log.level, config.log.format)
        gc.freeze()  # what was imported stays for ever: the collector need not look at it
        asyncio.run(_serve(config, directory))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except (RuntimeDirectoryError, ListenError) as error:
        print(f"infsup: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(config: Config, directory: Path) -> None:
    await Server(config, directory).run()


if __name__ == "__main__":
    sys.exit(main())
