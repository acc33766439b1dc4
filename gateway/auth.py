"""Who a caller is: API keys, and the name under which the scheduler shares out the machine fairly."""

import hashlib
import hmac
from collections.abc import Iterable

from infsup.protocol.errors import InvalidApiKey


class Keys:
    """The configured API keys, kept as digests. Empty: everybody may call."""

    def __init__(self, keys: Iterable[str]) -> None:
        """Remember the keys."""
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    def caller(self, authorization: str | None, remote: str | None) -> str:
        """Return the fairness key of a caller: `key:<8 hex>`, or its address where no key is needed.

        `authorization` is the header's value. Raises `InvalidApiKey`.
        """
        if not self._digests:
            return f"addr:{remote or 'local'}"
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise InvalidApiKey("an API key is needed: send the header 'Authorization: Bearer KEY'")
        digest = hashlib.sha256(key.strip().encode("utf-8", "surrogateescape")).digest()
        # Every key is compared, so that the time taken says nothing about which one matched.
        if not any([hmac.compare_digest(digest, known) for known in self._digests]):  # noqa: C419
            raise InvalidApiKey("this API key is not known here")
        return f"key:{digest.hex()[:8]}"
