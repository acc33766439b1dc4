"""What ties a process to the one that started it. Standard library only: it runs before anything slow is imported."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def tie_to_parent(parent: int) -> bool:
    """Ask the kernel to kill this process when its parent dies (Linux). False when the parent is gone already.

    The parent may have died before the call took effect, so its pid is compared afterwards.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
            # Not fatal: the parent is looked for at intervals too.
            sys.stderr.write(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}\n")
    return has_parent(parent)


def has_parent(parent: int) -> bool:
    """Say whether `parent` still is this process's parent."""
    return os.getppid() == parent
