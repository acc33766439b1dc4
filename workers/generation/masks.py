"""Token masks on logits, in numpy."""

import numpy as np
import numpy.typing as npt

_NEVER = np.float32(-np.inf)


def ban(logits: npt.NDArray[np.float32], mask: bytes) -> None:
    """Set the logits of the tokens that a `Constraint.mask` does not allow to minus infinity, in place."""
    allowed = np.unpackbits(np.frombuffer(mask, np.uint8), count=len(logits), bitorder="little").view(np.bool_)
    np.putmask(logits, np.logical_not(allowed), _NEVER)
