import pytest

from infsup.protocol.errors import InvalidRequest
from infsup.workers.engines.fault_orders import (
    Abort,
    After,
    Crash,
    Echo,
    Error,
    Exit,
    Freeze,
    Garbage,
    Gil,
    Hang,
    Leak,
    Oom,
    Order,
    Oversize,
    Segfault,
    Sleep,
    Tokens,
    parse_order,
)


@pytest.mark.parametrize(
    ("prompt", "order"),
    [
        ("hello", Echo()),
        ("", Echo()),
        (" !hang", Echo()),
        ("!tokens 3 0.5", Tokens(3, 0.5)),
        ("!sleep 2", Sleep(2.0)),
        ("!exit 7", Exit(7)),
        ("!error it  broke", Error("it  broke")),
        ("!gil 1.5", Gil(1.5)),
        ("!leak 10", Leak(10.0)),
        ("!crash", Crash()),
        ("!segfault\n", Segfault()),
        ("!abort", Abort()),
        ("!oom", Oom()),
        ("!hang", Hang()),
        ("!freeze", Freeze()),
        ("!garbage", Garbage()),
        ("!oversize", Oversize()),
        ("!after 2 !error no", After(2, Error("no"))),
        ("!after 1 !after 2 !tokens 3 0", After(1, After(2, Tokens(3, 0.0)))),
    ],
)
def test_parse_order_of_each_form_returns_it(prompt: str, order: Order) -> None:
    assert parse_order(prompt) == order


@pytest.mark.parametrize(
    ("prompt", "form"),
    [
        ("!tokens", "!tokens N DELAY_S"),
        ("!tokens 3", "!tokens N DELAY_S"),
        ("!tokens -1 0", "!tokens N DELAY_S"),
        ("!tokens 1000001 0", "!tokens N DELAY_S"),
        ("!tokens 3 inf", "!tokens N DELAY_S"),
        ("!sleep nan", "!sleep S"),
        ("!sleep", "!sleep S"),
        ("!exit 256", "!exit CODE"),
        ("!error", "!error TEXT"),
        ("!hang 3", "!hang"),
        ("!after 2", "!after K ORDER…"),
        ("!after 2 hello", "!after K ORDER…"),
    ],
)
def test_parse_order_malformed_names_order_and_form(prompt: str, form: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_order(prompt)
    assert f"has the form {form!r}" in caught.value.message
    assert caught.value.param == "prompt"


@pytest.mark.parametrize("prompt", ["!", "!Hang", "!unheard of", "!after 1 !unheard"])
def test_parse_order_unknown_lists_the_known_ones(prompt: str) -> None:
    with pytest.raises(InvalidRequest, match="!tokens, !sleep"):
        parse_order(prompt)
