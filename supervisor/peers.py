"""Complaints about peers that send what nobody can read or what is not for them to say: counted, logged once each."""

import logging
from collections import OrderedDict

log = logging.getLogger("infsup.wire")

REMEMBERED = 1000


class PeerComplaints:
    """Counts dropped messages and logs the first of each peer."""

    def __init__(self) -> None:
        """Start with none."""
        self.count = 0
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def note(self, role: str, peer: bytes, problem: str) -> None:
        """Take one dropped message of a peer."""
        self.count += 1
        if peer in self._seen:
            return
        self._seen[peer] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        log.warning("dropped a message of %s %s: %s (further ones are only counted)", role, peer.hex()[:16], problem)
