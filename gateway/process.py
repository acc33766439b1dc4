"""Which signals a gateway takes."""

import signal
import sys


def set_up_signals() -> None:
    """Leave Ctrl-C to the supervisor, and end with 0 on a SIGTERM that comes before anything is served."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
