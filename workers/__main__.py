"""`python -m infsup.workers`: one worker, started by the supervisor. Nobody runs this by hand."""

import os
import sys

from infsup.protocol.parent import tie_to_parent

from . import process


def main() -> int:
    """Tie the process to its parent, then serve one model. Returns the exit status."""
    try:
        launch = process.read_launch(os.environ)
    except process.LaunchError as error:
        sys.stderr.write(f"{error}\n")
        return process.EXIT_USAGE
    if not tie_to_parent(launch.parent_pid):
        sys.stderr.write(f"the supervisor (pid {launch.parent_pid}) is gone\n")
        return 1
    process.set_up()
    if os.environ.get(process.IGNORE_SIGTERM):
        process.ignore_sigterm()
    if os.environ.get(process.NO_HELLO):
        process.wait_forever()
    # Imported now: the process must not be an orphan while it imports.
    from .serve import serve  # noqa: PLC0415

    return serve(launch)


if __name__ == "__main__":
    sys.exit(main())
