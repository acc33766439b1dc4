"""Text going out: whole characters and stop strings."""

import pytest

from infsup.workers.generation.detokenizer import Detokenizer
from infsup.workers.generation.stops import StopMatcher


def test_detokenizer_split_character_is_held_back_until_whole() -> None:
    pieces = [bytes((byte,)) for byte in "a😀".encode()]
    detokenizer = Detokenizer(pieces)
    assert [detokenizer.push(token) for token in range(5)] == ["a", "", "", "", "😀"]
    assert detokenizer.flush() == ""


def test_detokenizer_cut_or_invalid_bytes_become_replacement_characters() -> None:
    detokenizer = Detokenizer([b"\xf0\x9f", b"b", b"\xff"])
    assert [detokenizer.push(0), detokenizer.push(1), detokenizer.push(2), detokenizer.push(0)] == ["", "�b", "�", ""]
    assert detokenizer.flush() == "�"


@pytest.mark.parametrize(
    ("stops", "pieces", "sent", "matched"),
    [
        ([], ["a", "b"], ["a", "b"], False),
        (["END"], ["a E", "N", "Dx", "y"], ["a ", "", "", ""], True),
        (["END"], ["a E", "N", "x"], ["a ", "", "ENx"], False),
        (["aab"], ["aa", "ab"], ["", "a"], True),
        (["abcd", "bc"], ["ab", "c", "d"], ["a", "", ""], True),
        (["bc", "abc"], ["abc"], [""], True),
        (["\n\n"], ["x\n", "y\n\n\n"], ["x", "\ny"], True),
    ],
)
def test_stop_matcher_sends_text_up_to_the_first_stop(
    stops: list[str], pieces: list[str], sent: list[str], matched: bool
) -> None:
    matcher = StopMatcher(stops)
    assert [matcher.push(piece) for piece in pieces] == sent
    assert matcher.matched is matched


def test_stop_matcher_flush_sends_what_became_no_stop() -> None:
    matcher = StopMatcher(["END"])
    assert matcher.push("the EN") == "the "
    assert matcher.flush() == "EN"
