"""Options, durations, keys, origins and settings of the gateway."""

import json
from typing import Any

import pytest

from infsup.gateway.auth import Keys
from infsup.gateway.durations import read_keep_alive, read_timeout
from infsup.gateway.options import Options, read_options
from infsup.gateway.origins import Origins, is_loopback
from infsup.gateway.settings import SettingsError, read_settings
from infsup.protocol.errors import Forbidden, InvalidApiKey, InvalidRequest


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (5, 5),
        (0, 0),
        (-1, -1),
        (0.5, 0.5),
        ("5m", 300),
        ("1h30m", 5400),
        ("-1", -1),
        ("30", 30),
        ("250ms", 0.25),
        ("2d", 172800),
    ],
)
def test_keep_alive_in_every_form_is_seconds(value: object, seconds: float) -> None:
    assert read_keep_alive(value) == seconds


@pytest.mark.parametrize(
    "value",
    ["", "soon", "5 m", "m", "-5m", -2, "-2", True, None, [], float("nan"), float("inf"), 10**400, "1" * 99, "\u0665"],
)
def test_keep_alive_that_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_keep_alive(value)
    assert caught.value.param == "keep_alive"


@pytest.mark.parametrize("value", [-1, "-1", "x", True, None])
def test_timeout_that_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(InvalidRequest):
        read_timeout(value)


def test_options_come_from_body_before_headers() -> None:
    headers = {"X-Priority": "-3", "X-Timeout": "2.5"}
    assert read_options({}, {}) == Options(0, None, None, wait=True)
    assert read_options({}, headers) == Options(-3, 2.5)
    body = {"priority": 4, "timeout": 0, "keep_alive": "5m", "wait": False}
    assert read_options(body, headers) == Options(4, 0.0, 300.0, wait=False)


@pytest.mark.parametrize(
    ("body", "headers", "param"),
    [
        ({"priority": 11}, {}, "priority"),
        ({"priority": 1.5}, {}, "priority"),
        ({"priority": "1"}, {}, "priority"),
        ({"priority": True}, {}, "priority"),
        ({"wait": 1}, {}, "wait"),
        ({"timeout": -1}, {}, "timeout"),
        ({}, {"X-Priority": "high"}, "X-Priority"),
        ({}, {"X-Priority": "--1"}, "X-Priority"),
        ({}, {"X-Priority": "11"}, "X-Priority"),
        ({}, {"X-Priority": "1" * 5000}, "X-Priority"),
        ({}, {"X-Timeout": "-1"}, "X-Timeout"),
    ],
)
def test_options_wrong_one_is_named(body: dict[str, Any], headers: dict[str, str], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_options(body, headers)
    assert caught.value.param == param


def test_keys_none_configured_tells_callers_apart_by_address() -> None:
    keys = Keys([])
    assert keys.caller(None, "10.0.0.1") == "addr:10.0.0.1"
    assert keys.caller("Bearer anything", None) == "addr:local"


def test_keys_known_key_is_told_by_its_hash() -> None:
    keys = Keys(["one", "two"])
    assert keys.caller("Bearer one", None) != keys.caller("bearer two", None)
    assert keys.caller("Bearer one", None).startswith("key:")


@pytest.mark.parametrize("header", [None, "", "one", "Bearer", "Bearer ", "Bearer One", "Basic one", "Bearer \udcff"])
def test_keys_unknown_key_is_refused(header: str | None) -> None:
    with pytest.raises(InvalidApiKey):
        Keys(["one"]).caller(header, "10.0.0.1")


@pytest.mark.parametrize(
    ("method", "origin", "host", "allowed"),
    [
        ("POST", None, "localhost:8000", True),
        ("POST", "http://localhost:8000", "localhost:8000", True),
        ("POST", "http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("POST", "http://[::1]:8000", "[::1]:8000", True),
        ("POST", "http://localhost:3000", "localhost:8000", False),
        ("POST", "https://evil.example", "localhost:8000", False),
        ("POST", "https://evil.example", "evil.example", False),
        ("POST", "null", "localhost:8000", False),
        ("POST", "http://[", "[", False),
        ("POST", "", "", False),
        ("GET", "https://evil.example", "localhost:8000", True),
        ("DELETE", "https://evil.example", "localhost:8000", False),
        ("POST", "https://good.example", "localhost:8000", True),
    ],
)
def test_origins_on_loopback_refuse_pages_of_others(method: str, origin: str | None, host: str, allowed: bool) -> None:
    origins = Origins(["https://good.example/"], loopback=True)
    if allowed:
        origins.check(method, origin, host)
    else:
        with pytest.raises(Forbidden):
            origins.check(method, origin, host)


def test_origins_on_a_public_address_take_pages_of_their_own_name() -> None:
    Origins([], loopback=False).check("POST", "https://me.example", "me.example")


def test_origins_star_allows_all() -> None:
    origins = Origins(["*"], loopback=True)
    origins.check("POST", "null", "localhost")
    assert origins.headers("null")["Access-Control-Allow-Origin"] == "null"
    assert origins.headers(None) == {}


@pytest.mark.parametrize(
    ("name", "is_one"), [("127.8.8.8", True), ("::1", True), ("a.localhost", True), ("0.0.0.0", False), ("x", False)]
)
def test_is_loopback_names_and_addresses(name: str, is_one: bool) -> None:
    assert is_loopback(name) is is_one


def test_settings_are_read_from_one_line() -> None:
    line = json.dumps({"endpoint": "ipc:///x", "identity": "6701", "fd": 5, "parent": 1, "api_keys": ["k"], "new": 1})
    settings = read_settings(line)
    assert (settings.identity_bytes, settings.fd, settings.api_keys) == (b"g\x01", 5, ("k",))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "not JSON"),
        ("[]", "list"),
        ("{}", "endpoint"),
        ('{"endpoint": "e", "identity": "xx", "fd": 5, "parent": 1}', "hexadecimal"),
        ('{"endpoint": "e", "identity": "00", "fd": "secret", "parent": 1}', "fd"),
    ],
)
def test_settings_wrong_line_says_what_is_wrong_without_repeating_it(line: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(line)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
