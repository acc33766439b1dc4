"""Messages to systemd, received by a real datagram socket."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infsup.supervisor.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    name = f"\0infsup-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(5)
        listener.bind(name)
        yield listener


@pytest.fixture
def notifier(manager: socket.socket) -> Iterator[Notifier]:
    name = manager.getsockname()
    address = "@" + name[1:].decode() if isinstance(name, bytes) else name
    made = Notifier.from_env({"NOTIFY_SOCKET": address})
    yield made
    made.close()


def received(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def test_notifier_each_verb_sends_its_words(manager: socket.socket, notifier: Notifier) -> None:
    assert notifier.ready("2 models")
    assert received(manager) == ["READY=1", "STATUS=2 models"]
    assert notifier.ready()
    assert received(manager) == ["READY=1"]
    assert notifier.stopping("draining")
    assert received(manager) == ["STOPPING=1", "STATUS=draining"]
    assert notifier.watchdog()
    assert received(manager) == ["WATCHDOG=1"]


def test_notifier_reloading_tells_the_monotonic_time(manager: socket.socket, notifier: Notifier) -> None:
    before = time.monotonic_ns() // 1000
    assert notifier.reloading()
    reloading, clock = received(manager)
    assert reloading == "RELOADING=1"
    assert before <= int(clock.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_notifier_status_cannot_smuggle_in_another_line(manager: socket.socket, notifier: Notifier) -> None:
    assert notifier.status("loading\nMAINPID=1 \ud800 é")
    assert received(manager) == ["STATUS=loading MAINPID=1 ? é"]
    assert not notifier.status(" \n")


def test_notifier_manager_that_does_not_read_blocks_nothing(
    manager: socket.socket, notifier: Notifier, caplog: pytest.LogCaptureFixture
) -> None:
    sent = 0
    while notifier.watchdog():
        sent += 1
        assert sent < 1_000_000
    assert not notifier.watchdog()
    assert len(caplog.records) == 1
    assert received(manager) == ["WATCHDOG=1"]
    assert notifier.ready()  # there is room again


def test_notifier_closed_sends_nothing(manager: socket.socket, notifier: Notifier) -> None:
    notifier.close()
    notifier.close()
    assert not notifier.ready()
    manager.setblocking(False)  # noqa: FBT003 - the standard library's
    with pytest.raises(BlockingIOError):
        manager.recv(1)


def test_notifier_without_systemd_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier.from_env({})
    assert not notifier.ready()
    assert not notifier.reloading()
    assert notifier.watchdog_interval is None
    assert not caplog.records
    notifier.close()


@pytest.mark.parametrize(
    "address", ["/nonexistent/notify", "/" + "x" * 300, "@" + "x" * 300, "/\ud800", "vsock:2:1", "relative", "@"]
)
def test_notifier_address_that_cannot_be_reached_warns_once(address: str, caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier.from_env({"NOTIFY_SOCKET": address})
    assert not notifier.ready()
    assert not notifier.status("x")
    assert len(caplog.records) == 1
    notifier.close()


@pytest.mark.parametrize(
    ("limit", "pid", "expected"),
    [
        ("30000000", None, 15.0),
        ("30000000", "", 15.0),
        ("30000000", str(os.getpid()), 15.0),
        ("30000000", "1", None),
        ("30000000", "nobody", None),
        ("0", None, None),
        ("-5", None, None),
        ("soon", None, None),
        ("9" * 5000, None, None),
        (None, None, None),
    ],
)
def test_watchdog_interval_is_half_of_the_limit_if_meant_for_us(
    limit: str | None, pid: str | None, expected: float | None
) -> None:
    values = {"WATCHDOG_USEC": limit, "WATCHDOG_PID": pid}
    notifier = Notifier.from_env({name: value for name, value in values.items() if value is not None})
    assert notifier.watchdog_interval == expected
