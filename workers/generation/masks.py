"""Token masks on logits, in numpy."""

import numpy as np
import numpy.typing as npt

_NEVER = np.float32(-np.inf)


def allowed(mask: bytes, size: int) -> npt.NDArray[np.bool_]:
    """Return which of `size` tokens a `Constraint.mask` allows."""
    return np.unpackbits(np.frombuffer(mask, np.uint8), count=size, bitorder="little").view(np.bool_)


def ban(logits: npt.NDArray[np.float32], mask: bytes) -> None:
    """Set the logits of the tokens that a `Constraint.mask` does not allow to minus infinity, in place."""
    np.putmask(logits, np.logical_not(allowed(mask, len(logits))), _NEVER)
