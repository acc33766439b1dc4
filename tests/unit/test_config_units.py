"""Sizes, durations, core lists; lines of keys."""

import pytest

from infsup.supervisor.config.lines import locate_keys
from infsup.supervisor.config.units import Share, Size, parse_cores, parse_duration, parse_share, parse_size


@pytest.mark.parametrize(
    ("text", "count"),
    [("1B", 1), ("50MB", 50_000_000), ("12GiB", 12 * 1024**3), ("1.5 kb", 1500), ("2TiB", 2 * 1024**4), ("0B", 0)],
)
def test_parse_size_units_are_decimal_or_binary(text: str, count: int) -> None:
    assert parse_size(text) == Size(count)


@pytest.mark.parametrize(
    "text", ["", "5", "MB", "5 M", "-5MB", "5MB ", "1e3MB", "\u0665MB", "9999999TiB", "9" * 400 + "B"]
)
def test_parse_size_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^"):
        parse_size(text)


@pytest.mark.parametrize("size", ["50MB", "4GiB", "1B", "1536KiB", "7kB", "0B"])
def test_size_text_reads_back_as_itself(size: str) -> None:
    assert parse_size(str(parse_size(size))) == parse_size(size)
    assert str(Size(50_000_000)) == "50MB"
    assert str(Size(4 * 1024**3)) == "4GiB"


def test_share_is_a_part_of_the_total() -> None:
    assert parse_share("80%").of(1000) == 800
    assert Size(5).of(1000) == 5
    assert str(Share(12.5)) == "12.5%"
    for text in ("0%", "101%", "80", "%", "-1%"):
        with pytest.raises(ValueError, match=r"^"):
            parse_share(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("300s", 300), ("5m", 300), ("1h30m", 5400), ("2d", 172800), ("250ms", 0.25), ("1m5ms", 60.005), ("1.5h", 5400)],
)
def test_parse_duration_units_add_up(text: str, value: float) -> None:
    assert parse_duration(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "5", "soon", "1m1h", "1h 30m", "-5m", "1m1m", "5M"])
def test_parse_duration_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^"):
        parse_duration(text)


def test_parse_cores_ranges_and_numbers_are_sorted_and_unique() -> None:
    assert parse_cores("0-3,6") == (0, 1, 2, 3, 6)
    assert parse_cores("5, 1-2,2") == (1, 2, 5)
    for text in ("", "3-0", "a", "1,", "-1", "0-99999", "1-2-3"):
        with pytest.raises(ValueError, match=r"^"):
            parse_cores(text)


def test_locate_keys_finds_every_kind_of_key() -> None:
    text = """\
# a comment with [brackets] = "x"
top = 1
[a."b.c".'d']
list = [ # comment ]
  1,
  { x = 1, y.z = "}" },
]
text = \"\"\"
not = a key
\"\"\"\"
[[many]]
k = 1
[many.sub]
k = 2
[[many]]
k = 3
"""
    lines = locate_keys(text)
    assert lines["top",] == 2
    assert lines["a",] == lines["a", "b.c", "d"] == 3
    assert lines["a", "b.c", "d", "list"] == 4
    assert lines["a", "b.c", "d", "list", 0] == 5
    assert lines["a", "b.c", "d", "list", 1, "y", "z"] == 6
    assert lines["a", "b.c", "d", "text"] == 8
    assert lines["many", 0, "sub", "k"] == 14
    assert lines["many", 1, "k"] == 16
    assert ("not",) not in lines


def test_locate_keys_broken_document_keeps_what_came_before() -> None:
    assert locate_keys("a = 1\n[b\nc = 2\n") == {("a",): 1}
