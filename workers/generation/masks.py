"""Token masks on logits, in numpy."""

import numpy as np
import numpy.typing as npt


def ban(logits: npt.NDArray[np.float32], mask: bytes) -> None:
    """Set the logits of the tokens that a `Constraint.mask` does not allow to minus infinity, in place."""
    banned = np.unpackbits(np.frombuffer(mask, np.uint8), count=len(logits), bitorder="little") == 0
    logits[banned] = -np.inf
