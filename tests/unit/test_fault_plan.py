import pytest

from infsup.workers.engines.fault_orders import Crash, Garbage, parse_order
from infsup.workers.engines.fault_plan import Plan, limit, make_plan, words


@pytest.mark.parametrize("text", ["", " ", "a", "a b", " a\n\n b  ", "über  straße\t", "!garbage"])
def test_words_joined_are_the_text(text: str) -> None:
    assert "".join(words(text)) == text


def test_words_of_a_sentence_are_one_piece_each() -> None:
    assert words("one two  three ") == ("one", " two", "  three ")


@pytest.mark.parametrize(
    ("prompt", "plan"),
    [
        ("a b", Plan(after=("a", " b"), delay=0.5)),
        ("!tokens 2 0.1", Plan(after=("t0", " t1"), delay=0.1)),
        ("!garbage", Plan(deed=Garbage(), after=("!garbage",), delay=0.5)),
        ("!after 2 !crash", Plan(("t0", " t1"), Crash(), (), 0.5)),
        ("!after 2 !garbage", Plan(("t0", " t1"), Garbage(), (" !after", " 2", " !garbage"), 0.5)),
        ("!after 0 !tokens 1 0", Plan((), None, ("t0",), 0.0)),
    ],
)
def test_make_plan_of_each_kind_of_order(prompt: str, plan: Plan) -> None:
    assert make_plan(parse_order(prompt), prompt, 0.5) == plan


@pytest.mark.parametrize(
    ("max_tokens", "stops", "expected"),
    [
        (None, (), Plan(("a", " b"), Crash(), (" c", " d"))),
        (4, (), Plan(("a", " b"), Crash(), (" c", " d"))),
        (3, (), Plan(("a", " b"), Crash(), (" c",), reason="length")),
        (2, (), Plan(("a", " b"), Crash(), (), reason="length")),
        (1, (), Plan(("a",), None, (), reason="length")),
        (0, (), Plan((), None, (), reason="length")),
        (None, ("d", "c"), Plan(("a", " b"), Crash(), (" ",))),
        (None, (" b c",), Plan(("a",), None, ())),
        (None, ("x",), Plan(("a", " b"), Crash(), (" c", " d"))),
        (3, ("d",), Plan(("a", " b"), Crash(), (" c",), reason="length")),
        (3, ("c",), Plan(("a", " b"), Crash(), (" ",))),
    ],
)
def test_limit_by_tokens_and_stop_strings(max_tokens: int | None, stops: tuple[str, ...], expected: Plan) -> None:
    assert limit(Plan(("a", " b"), Crash(), (" c", " d")), max_tokens, stops) == expected
