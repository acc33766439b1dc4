"""Tells systemd how the server is: the protocol of sd_notify(3). Does nothing, silently, where there is no systemd."""

import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import Self

log = logging.getLogger("infsup.notify")

_MAX_STATUS = 500


class Notifier:
    """Sends datagrams to the service manager. Nothing here raises or blocks; `close` gives the socket back.

    Each verb returns whether the message was handed over: false too when nobody asked for messages.
    """

    def __init__(self, address: str = "", watchdog_interval: float | None = None) -> None:
        """`address` is a path, `@` first for one in the abstract namespace, "" for nobody.

        `watchdog_interval` is how often, in seconds, `watchdog` is to be called; None = never.
        """
        self.watchdog_interval = watchdog_interval
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._failed = False
        self._socket: socket.socket | None = None
        if address and not address.startswith(("/", "@")):
            log.warning("NOTIFY_SOCKET is %r; only paths and @names are supported", address)
        elif address:
            self._socket = _open_socket()

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Return the notifier that the environment asks for, see sd_notify(3) and sd_watchdog_enabled(3)."""
        return cls(environ.get("NOTIFY_SOCKET", ""), _watchdog_interval(environ))

    def ready(self, status: str = "") -> bool:
        """Say that the server has started, or has finished reloading."""
        return self._send("READY=1", *_status(status))

    def reloading(self) -> bool:
        """Say that a new configuration is being taken; `ready` must follow, whether or not it was taken."""
        # systemd compares with its own clock whether the message is newer than its request (Type=notify-reload).
        return self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str = "") -> bool:
        """Say that the server is going down."""
        return self._send("STOPPING=1", *_status(status))

    def status(self, text: str) -> bool:
        """Tell people, in one line, what the server is doing."""
        return self._send(*_status(text))

    def watchdog(self) -> bool:
        """Say that the main loop is alive."""
        return self._send("WATCHDOG=1")

    def close(self) -> None:
        """Give the socket back; later messages go nowhere."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> bool:
        if self._socket is None or not lines:
            return False
        try:
            self._socket.sendto("\n".join(lines).encode(errors="replace"), self._address)
        except (OSError, ValueError) as error:  # ValueError: an address that is not valid text
            if not self._failed:
                log.warning("cannot reach systemd at %r: %s (further failures are not logged)", self._address, error)
            self._failed = True
            return False
        return True


def _open_socket() -> socket.socket | None:
    try:
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    except OSError as error:
        log.warning("cannot notify systemd: %s", error)
        return None
    opened.settimeout(0.0)  # never block the loop: a message that does not fit is lost
    return opened


def _status(text: str) -> list[str]:
    line = " ".join(text.split())[:_MAX_STATUS]
    return [f"STATUS={line}"] if line else []


def _watchdog_interval(environ: Mapping[str, str]) -> float | None:
    """Return half of the limit, in seconds; None when the watchdog is off or meant for another process."""
    limit, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not (limit.isascii() and limit.isdecimal() and len(limit) < 20 and int(limit) > 0):
        return None
    if pid and pid != str(os.getpid()):
        return None
    return int(limit) / 2_000_000
