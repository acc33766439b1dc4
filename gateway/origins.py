"""Which web pages may call: CORS for the configured origins, and no for every other page.

A server on localhost can be reached by any page that its user happens to visit. So a request that changes or costs
something and says that it comes from another origin is refused, and so is a page whose own name was made to point
here (DNS rebinding): on a loopback address only loopback names are the page's own origin.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from infsup.protocol.errors import Forbidden

_SAFE_METHODS = frozenset({"GET", "HEAD"})
_EXPOSED = "x-request-id, retry-after, x-should-retry"
_METHODS = "GET, POST, DELETE, OPTIONS"


class Origins:
    """The rule for one server. `loopback` says that it listens on a loopback address only."""

    def __init__(self, allowed: Iterable[str], *, loopback: bool) -> None:
        """`allowed` are origins such as `https://app.example`, or `*` for all."""
        self._allowed = frozenset(origin.rstrip("/") for origin in allowed)
        self._loopback = loopback

    def check(self, method: str, origin: str | None, host: str) -> None:
        """Raise `Forbidden` when a page of another origin asks for more than to look."""
        if origin is None or method in _SAFE_METHODS or self._listed(origin) or self._same(origin, host):
            return
        raise Forbidden(
            f"requests from pages of {origin[:200]!r} are not allowed; the setting server.cors_origins allows them"
        )

    def headers(self, origin: str | None) -> dict[str, str]:
        """Return the CORS headers of an answer to a page of this origin; empty where none was asked for or allowed."""
        if origin is None or not self._listed(origin):
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": _EXPOSED,
            "Vary": "Origin",
        }

    def preflight(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return what a preflight is answered with, next to `headers()`. The caller has checked the origin."""
        answer = {
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": headers.get("Access-Control-Request-Headers")
            or "authorization, content-type",
            "Access-Control-Max-Age": "600",
        }
        if headers.get("Access-Control-Request-Private-Network") == "true":
            answer["Access-Control-Allow-Private-Network"] = "true"
        return answer

    def _listed(self, origin: str) -> bool:
        return origin in self._allowed or "*" in self._allowed

    def _same(self, origin: str, host: str) -> bool:
        netloc = origin.partition("://")[2]
        if not netloc or netloc.lower() != host.lower():
            return False
        return not self._loopback or is_loopback(_hostname(host))


def is_loopback(name: str) -> bool:
    """Say whether a host name or address can only mean this machine."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
