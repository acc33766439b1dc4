"""For any text cut into any pieces, what is sent is right and as early as it can be."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from infsup.workers.generation.detokenizer import Detokenizer
from infsup.workers.generation.special import SpecialText
from infsup.workers.generation.stops import StopMatcher

WORDS = st.text("abc", min_size=1, max_size=4)
STOPS = st.lists(WORDS, max_size=4)
PIECES = st.lists(st.text("abc", max_size=5), max_size=12)
CONTROL = ("<e>", "<ee>", "e><", "|")


def first_stop(text: str, stops: list[str]) -> int | None:
    """The start of the stop string that is complete first, the longest of those."""
    for end in range(1, len(text) + 1):
        starts = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if starts:
            return min(starts)
    return None


@settings(derandomize=True, deadline=None, max_examples=300)
@given(PIECES, STOPS)
def test_stop_matcher_sends_the_text_before_the_first_stop(pieces: list[str], stops: list[str]) -> None:
    matcher, text = StopMatcher(stops), "".join(pieces)
    sent = "".join(matcher.push(piece) for piece in pieces)
    start = first_stop(text, stops)
    assert matcher.matched == (start is not None)
    assert sent + ("" if matcher.matched else matcher.flush()) == text[:start]


@settings(derandomize=True, deadline=None, max_examples=300)
@given(PIECES, STOPS, st.data())
def test_stop_matcher_holds_back_only_what_can_still_be_a_stop(
    pieces: list[str], stops: list[str], data: st.DataObject
) -> None:
    matcher = StopMatcher(stops)
    sent = "".join(matcher.push(piece) for piece in pieces)
    text = "".join(pieces)
    if matcher.matched or len(sent) == len(text):
        return
    endings = [text + stop[cut:] for stop in stops for cut in range(len(stop) + 1)]
    assert len(sent) in {first_stop(ending, stops) for ending in endings}


@settings(derandomize=True, deadline=None)
@given(st.lists(st.binary(max_size=5), max_size=20))
def test_detokenizer_gives_the_text_of_all_bytes(pieces: list[bytes]) -> None:
    detokenizer = Detokenizer(pieces)
    text = "".join(detokenizer.push(i) for i in range(len(pieces))) + detokenizer.flush()
    assert text == b"".join(pieces).decode(errors="replace")


@settings(derandomize=True, deadline=None)
@given(st.text(max_size=30), st.integers(0, 2**32))
def test_detokenizer_never_sends_part_of_a_character(text: str, cuts: int) -> None:
    data, pieces, start = text.encode(), list[bytes](), 0
    for i in range(len(data)):
        if cuts >> (i % 32) & 1:
            pieces.append(data[start : i + 1])
            start = i + 1
    pieces.append(data[start:])
    detokenizer = Detokenizer(pieces)
    sent = [detokenizer.push(i) for i in range(len(pieces))]
    assert "".join(sent) == text
    assert all("\ufffd" not in part for part in sent) or "\ufffd" in text


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(("mine", "theirs")), st.text("<e>|x", max_size=6)), max_size=6))
def test_special_text_of_others_is_never_a_control_token(parts: list[tuple[str, str]]) -> None:
    """Between parts stands a character that no control token has, so tokens cannot form across them."""
    special, mark = SpecialText(CONTROL), "\ufdd0"
    rendered = "#".join(special.mark(text, mark) if whose == "theirs" else text for whose, text in parts)
    found = list(special.split(rendered, mark))
    assert "".join(text for text, _ in found) == "#".join(text for _, text in parts)
    control = [text for text, is_control in found if is_control]
    pattern = re.compile("|".join(map(re.escape, sorted(CONTROL, key=len, reverse=True))))
    assert control == [name for whose, text in parts if whose == "mine" for name in pattern.findall(text)]
