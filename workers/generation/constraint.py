"""How a grammar takes part in choosing tokens, the same for every engine."""

from typing import Protocol


class Constraint(Protocol):
    """One answer's way through a grammar. Used by one thread at a time.

    For every token: ban what `mask` does not allow, choose, `accept` the choice; the answer is over when it is
    `complete`, or when an end token was chosen (the mask has them only where the grammar is satisfied).
    """

    def mask(self) -> bytes:
        """Return which tokens may come next: one bit a token, the lowest bit of a byte first; at least one is set.

        Raises `InvalidRequest` when the grammar allows nothing here, or is too complex to say.
        """
        ...

    def accept(self, token: int) -> None:
        """Take the token that was chosen, an end token too.

        Raises `EngineFailure` for one that `mask` forbids, `InvalidRequest` when the grammar gets too complex.
        """
        ...

    @property
    def complete(self) -> bool:
        """Whether nothing but the end can follow."""
        ...


class Grammar(Protocol):
    """A grammar made ready for one model's tokens."""

    def start(self) -> Constraint:
        """Return the constraint for a new answer."""
        ...
