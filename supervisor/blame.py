"""Which jobs kill workers. Pure: the clock comes in.

A job that was alone in two workers that died is poison: the same parameters are refused for a while, since clients
resend a failed request by themselves, and each resend would cost another worker. An answer in between proves them
innocent: what every health check asks must not become poison because workers die of something else now and then.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

POISON_SECONDS = 600.0
POISON_DEATHS = 2
REMEMBERED = 1000


@dataclass(slots=True)
class _Suspect:
    deaths: int = 0
    alone: int = 0
    """Deaths alone since the last answer."""
    last: float = 0.0


class Blame:
    """Remembers the parameters of jobs under which workers died, by hash: no text is kept."""

    def __init__(self) -> None:
        """Start with no suspects."""
        self._suspects: OrderedDict[bytes, _Suspect] = OrderedDict()

    def note_death(self, model: str, params: bytes, now: float, *, alone: bool) -> bool:
        """A worker died under this job. Returns whether it is the first such death of these parameters."""
        self._forget_old(now)
        key = _key(model, params)
        suspect = self._suspects.setdefault(key, _Suspect())
        self._suspects.move_to_end(key)
        suspect.deaths += 1
        suspect.alone += alone
        suspect.last = now
        return suspect.deaths == 1

    def note_success(self, model: str, params: bytes) -> None:
        """A job with these parameters was answered. Costs nothing while nothing has died."""
        if self._suspects and (suspect := self._suspects.get(_key(model, params))) is not None:
            suspect.alone = 0

    def is_poison(self, model: str, params: bytes, now: float) -> bool:
        """Say whether a job with these parameters is to be refused. Costs nothing while nothing has died."""
        if not self._suspects:
            return False
        self._forget_old(now)
        suspect = self._suspects.get(_key(model, params))
        return suspect is not None and suspect.alone >= POISON_DEATHS

    def clear(self) -> None:
        """Forget all suspects, as `infsup reset` asks."""
        self._suspects.clear()

    def _forget_old(self, now: float) -> None:
        while self._suspects:
            oldest = next(iter(self._suspects))
            if len(self._suspects) <= REMEMBERED and self._suspects[oldest].last > now - POISON_SECONDS:
                return
            del self._suspects[oldest]


def _key(model: str, params: bytes) -> bytes:
    return hashlib.blake2b(model.encode() + b"\0" + params, digest_size=16).digest()
