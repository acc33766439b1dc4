"""`infsup start`: parses its own arguments, so that the process that runs for months never loads the command line."""

import argparse
import asyncio
import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from infsup.protocol.runtime import RuntimeDirectoryError, runtime_directory

from .allocator import return_large_blocks
from .config import ConfigError, find_config
from .gateway_process import ListenError
from .local_config import LocalConfig, load_here, log_warnings
from .logs import set_up_logging
from .server import Server


def main(argv: Sequence[str] | None = None) -> int:
    """Serve; returns the exit status: 0 after a clean stop, 1 when it could not run, 2 for a bad configuration."""
    arguments = _parser().parse_args(argv)
    try:
        path = find_config(arguments.config, builtin=True)

        def read_config() -> LocalConfig:
            return load_here(path, server={"host": arguments.host, "port": arguments.port})

        local = read_config()
        config = local.config
        directory = runtime_directory(path, arguments.runtime_dir)
        set_up_logging(config.log.level, config.log.format)
        log_warnings(local.warnings)
        return_large_blocks()
        gc.freeze()  # what was imported stays for ever: the collector need not look at it
        asyncio.run(_serve(local, directory, read_config))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except (RuntimeDirectoryError, ListenError) as error:
        print(f"infsup: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="infsup start", description="Start the server and stay in the foreground.", allow_abbrev=False
    )
    parser.add_argument(
        "config",
        nargs="?",
        metavar="CONFIG",
        help="configuration file; default: $INFSUP_CONFIG, then ./infsup.toml, then the built-in tiny model",
    )
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=int, help="port to listen on; 0 = any free one")
    parser.add_argument("--runtime-dir", type=Path, help="directory of the server's sockets")
    return parser


async def _serve(local: LocalConfig, directory: Path, read_config: Callable[[], LocalConfig]) -> None:
    await Server(local, directory, read_config).run()


if __name__ == "__main__":
    sys.exit(main())
