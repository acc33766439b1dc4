"""The proof of `llama_cpp_slots` as a state machine: the cache never overflows, and whoever waits gets on."""

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from infsup.workers.engines.llama_cpp_batch import share
from infsup.workers.engines.llama_cpp_slots import Slot, Slots, common_prefix

TOKENS = st.lists(st.integers(1, 3), min_size=1, max_size=60)


@given(
    st.lists(st.integers(1, 900), max_size=20),
    st.integers(0, 20),
    st.integers(1, 200),
    st.integers(1, 600),
)
def test_share_is_fair_bounded_and_gets_on(prompts: list[int], answers: int, chunk: int, room: int) -> None:
    batch = answers + room
    shares = share(prompts, answers=answers, batch=batch, chunk=chunk)
    assert all(0 <= got <= lacking for got, lacking in zip(shares, prompts, strict=True))
    assert sum(shares) + answers <= batch
    assert not answers or sum(shares) <= chunk
    bound = min(room, chunk) if answers else room
    assert sum(shares) == min(bound, sum(prompts))  # nothing is left unused
    unmet = [got for got, lacking in zip(shares, prompts, strict=True) if got < lacking]
    assert not unmet or max(shares) - min(unmet) <= 1


@given(TOKENS, TOKENS)
def test_common_prefix_is_that_of_a_plain_loop(first: list[int], second: list[int]) -> None:
    plain = 0
    while plain < min(len(first), len(second)) and first[plain] == second[plain]:
        plain += 1
    assert common_prefix(first, second) == plain


@settings(max_examples=200, deadline=None)
@given(
    count=st.integers(1, 4),
    extra=st.integers(0, 120),
    preloaded=st.lists(st.integers(1, 3), max_size=20),
    jobs=st.lists(st.tuples(TOKENS, st.integers(1, 40)), min_size=1, max_size=12),
    chunk=st.integers(1, 30),
    can_cut=st.booleans(),
)
def test_slots_every_job_ends_and_the_cache_never_overflows(
    *, count: int, extra: int, preloaded: list[int], jobs: list[tuple[list[int], int]], chunk: int, can_cut: bool
) -> None:
    """Answers read and grow as the batcher has them do, in a cache that may be much smaller than all of them."""
    cells = len(preloaded) + 100 + extra  # the longest job fits
    slots = Slots(count, cells, can_cut=can_cut, preloaded=preloaded)
    waiting = deque((prompt, len(prompt) + limit) for prompt, limit in jobs)
    running: list[tuple[Slot, list[int], int]] = []
    order: list[int] = []
    began = ended = 0
    for _ in range(sum(reserved for _, reserved in waiting) + len(jobs) + 1):
        while waiting and (place := slots.place(waiting[0][0], waiting[0][1])) is not None:
            prompt, reserved = waiting.popleft()
            holder = place.source or place.slot
            assert holder.tokens[: place.kept] == prompt[: place.kept]
            assert place.kept < len(prompt)
            assert not place.slot.busy
            assert place.slot is not slots.preloaded
            assert not any(slot.busy for slot in place.evicted)
            running.append((slots.take(place, prompt, reserved), prompt, reserved))
            order.append(began)
            began += 1
        assert running or not waiting, "nothing runs and the first in line still waits"
        for slot, prompt, reserved in list(running):
            at = len(slot.tokens)
            slot.tokens += prompt[at : at + chunk] if at < len(prompt) else [9]
            assert len(slot.tokens) <= reserved
            if len(slot.tokens) == reserved:
                running.remove((slot, prompt, reserved))
                slots.give_back(slot)
                ended += 1
        assert slots.used <= cells
        assert slots.preloaded.tokens == preloaded
        if ended == len(jobs):
            return
    raise AssertionError("not all jobs ended")
