"""Which tokens go into the next decode: pure decisions, without llama.cpp.

Sequences that are being answered come first, with one token each, so that a long prompt does not stall them; prompts
fill the rest. Beside answers, prompts get at most `chunk` tokens together, which bounds how long a step may take.
"""

from collections.abc import Sequence


def share(prompts: Sequence[int], *, answers: int, batch: int, chunk: int) -> list[int]:
    """Return how many tokens each of `prompts`, given by the tokens that it still lacks, gets in the next decode.

    `answers` sequences take one token each; a decode holds `batch` tokens, more than `answers`. Prompts share
    equally: none gets less than another unless it needs no more, but for single tokens, which the earlier ones get.
    """
    room = min(batch - answers, max(1, chunk)) if answers else batch
    left, level = len(prompts), 0
    for lacking in sorted(prompts):
        level = room // left
        if lacking > level:
            break
        room -= lacking
        left -= 1
    shares = [min(lacking, level) if left else lacking for lacking in prompts]
    spare = room - left * level
    for index, lacking in enumerate(prompts):
        if left and spare and shares[index] < lacking:
            shares[index] += 1
            spare -= 1
    return shares


class Pace:
    """Finds how many prompt tokens a step beside answers may read for it to take at most `factor` times as long.

    It compares what steps take with what they take without prompts, and lets in a little more or less each time: the
    first tokens beside an answer cost more than the next, so their cost cannot be computed. Not thread-safe.
    """

    FIRST, LOWEST = 16, 4
    """Tokens at first, and however slow reading is: prompts have to get on too."""
    _WEIGHT = 0.2
    _FASTEST, _SLOWEST = 1.25, 0.5

    def __init__(self, factor: float, fixed: int, batch: int) -> None:
        """`factor` above 1; `fixed` tokens, if not 0, are the answer whatever is measured; `batch` is the most."""
        self._factor = factor
        self._fixed = fixed
        self._batch = batch
        self._tokens = float(self.FIRST)
        self._step = 0.0

    @property
    def chunk(self) -> int:
        """The prompt tokens of one step beside answers."""
        return min(self._fixed or int(self._tokens), self._batch)

    def note(self, answers: int, read: int, seconds: float) -> None:
        """Learn from a step that took `seconds` for so many answers and prompt tokens."""
        if not answers:
            return
        if not read:
            self._step += self._WEIGHT * (seconds - self._step) if self._step else seconds
        elif self._step and read >= self.chunk // 2:  # the rest of a prompt tells little
            allowed = self._factor * self._step / max(seconds, 1e-9)
            change = min(self._FASTEST, max(self._SLOWEST, allowed**0.5))
            self._tokens = min(float(self._batch), max(float(self.LOWEST), self._tokens * change))
