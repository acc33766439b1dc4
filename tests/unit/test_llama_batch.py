"""What goes into the next decode, and where prompts go in the cache: the decisions, without llama.cpp."""

import pytest

from infsup.workers.engines.llama_cpp_batch import Pace, share
from infsup.workers.engines.llama_cpp_slots import Place, Slot, Slots, common_prefix


@pytest.mark.parametrize(
    ("prompts", "answers", "expected"),
    [
        ([], 4, []),
        ([100], 0, [100]),
        ([5000], 0, [512]),
        ([5000], 3, [30]),  # beside answers a chunk
        ([2, 5000], 3, [2, 28]),  # who needs less leaves the rest to others
        ([5000, 5000, 5000], 0, [171, 171, 170]),
        ([9] * 40, 1, [1] * 30 + [0] * 10),
        ([3, 3], 511, [1, 0]),
    ],
)
def test_share_gives_answers_a_token_and_prompts_equal_parts(
    prompts: list[int], answers: int, expected: list[int]
) -> None:
    assert share(prompts, answers=answers, batch=512, chunk=30) == expected


def test_pace_lets_in_what_keeps_a_step_short() -> None:
    pace = Pace(3.0, 0, 512)
    assert pace.chunk == Pace.FIRST
    for _ in range(50):
        pace.note(2, 0, 0.010)
        pace.note(2, pace.chunk, 0.010 + 0.001 * pace.chunk)
    assert 19 <= pace.chunk <= 20  # 3 × 10 ms = 10 ms + 20 × 1 ms


def test_pace_stays_within_its_limits() -> None:
    slow, fast = Pace(2.0, 0, 512), Pace(2.0, 0, 512)
    for _ in range(50):
        for pace, seconds in ((slow, 9.0), (fast, 0.0)):
            pace.note(1, 0, 0.010)
            pace.note(1, pace.chunk, seconds)
            pace.note(0, 512, 1e9)  # nobody waits for a token: it may take what it takes
    assert (slow.chunk, fast.chunk) == (Pace.LOWEST, 512)
    assert Pace(2.0, 40, 512).chunk == 40
    assert Pace(2.0, 0, 3).chunk == 3


def test_common_prefix_of_lists() -> None:
    assert common_prefix([], [1]) == 0
    assert common_prefix([1, 2, 3], [1, 2, 3, 4]) == 3
    assert common_prefix([1, 2, 9, 4], [1, 2, 3, 4]) == 2
    assert common_prefix([9], [1]) == 0


def filled(*contents: list[int], cells: int = 1000, preloaded: tuple[int, ...] = (), can_cut: bool = True) -> Slots:
    slots = Slots(len(contents), cells, preloaded=preloaded, can_cut=can_cut)
    for slot, tokens in zip(slots.slots, contents, strict=True):
        slot.tokens[:] = tokens
        if tokens:
            slots.give_back(slot)
    return slots


def placed(slots: Slots, prompt: list[int], reserved: int = 0) -> Place:
    place = slots.place(prompt, reserved or len(prompt) + 10)
    assert place is not None
    return place


def busy(slots: Slots, number: int, reserved: int = 100, coming: tuple[int, ...] = ()) -> Slot:
    slot = slots.slots[number]
    slot.reserved, slot.coming = reserved, coming or tuple(slot.tokens)
    return slot


def test_slots_prompt_goes_where_its_longest_beginning_is() -> None:
    slots = filled([1, 2], [1, 2, 3, 4], [])
    assert placed(slots, [1, 2, 3, 4, 5]) == Place(slots.slots[1], 4)


def test_slots_last_token_is_always_read() -> None:
    assert placed(filled([1, 2, 3]), [1, 2, 3]).kept == 2


def test_slots_little_in_common_is_copied_and_not_taken_from_its_owner() -> None:
    slots = filled([1, 2, *range(100, 130)], [])
    assert placed(slots, [1, 2, 3]) == Place(slots.slots[1], 2, slots.slots[0])
    # Without an empty one, the one that was idle for longest.
    slots = filled([7, 7, 7], [1, 2, *range(100, 130)], [8, 8, 8])
    assert placed(slots, [1, 2, 3]) == Place(slots.slots[0], 2, slots.slots[1])


def test_slots_only_slot_is_taken_however_little_it_shares() -> None:
    slots = filled([1, *range(100, 130)])
    assert placed(slots, [1, 2, 3]) == Place(slots.slots[0], 1)


def test_slots_prefix_of_a_running_answer_is_copied() -> None:
    slots = filled([1, 2, 3, 4, 5, 6], [])
    busy(slots, 0)
    assert placed(slots, [1, 2, 3, 9]) == Place(slots.slots[1], 3, slots.slots[0])


def test_slots_preloaded_tokens_are_copied_and_stay() -> None:
    slots = filled([], preloaded=(1, 2, 3, 4))
    place = placed(slots, [1, 2, 3, 4, 5])
    assert place == Place(slots.slots[0], 4, slots.preloaded)
    slots.take(place, [1, 2, 3, 4, 5], 100)
    assert slots.slots[0].tokens == [1, 2, 3, 4]
    assert slots.preloaded.tokens == [1, 2, 3, 4]


def test_slots_idle_copy_of_a_prefix_is_preferred_to_one_in_use() -> None:
    slots = filled([1, 2, 3], [1, 2, 3], [])
    busy(slots, 0)
    assert placed(slots, [1, 2, 3, 4]).slot is slots.slots[1]


def test_slots_wait_for_a_long_prefix_that_another_is_reading() -> None:
    prompt = list(range(100))
    slots = filled([], [])
    busy(slots, 0, coming=tuple(prompt))
    assert slots.place([*prompt, 7], 110) is None
    slots.slots[0].tokens[:] = prompt
    assert placed(slots, [*prompt, 7]) == Place(slots.slots[1], 100, slots.slots[0])
    assert placed(slots, [0, 1, 2, 555]).kept == 3  # a short one is not worth waiting for


def test_slots_full_cache_waits_for_running_answers_and_forgets_idle_ones() -> None:
    slots = filled([1] * 30, [2] * 30, [3] * 30, [], cells=100)
    assert [slot.id for slot in placed(slots, [9], 40).evicted] == [0]
    assert [slot.id for slot in placed(slots, [9], 100).evicted] == [0, 1, 2]
    assert slots.place([9], 101) is None
    busy(slots, 0, reserved=70)
    assert slots.place([9], 31) is None
    assert [slot.id for slot in placed(slots, [9], 30).evicted] == [1, 2]


def test_slots_source_of_a_copy_is_forgotten_last() -> None:
    slots = filled([1, 2, *range(100, 128)], [3] * 30, [], cells=100)
    place = placed(slots, [1, 2, 3], 60)
    assert (place.source, place.evicted) == (slots.slots[0], (slots.slots[1],))


def test_slots_state_that_cannot_be_cut_is_reused_whole_or_not_at_all() -> None:
    slots = filled([1, 2, 3], [1, 2], can_cut=False)
    assert placed(slots, [1, 2, 4]) == Place(slots.slots[1], 2)
    assert placed(slots, [1, 9]).kept == 0


def test_slots_without_reuse_everything_is_read() -> None:
    place = filled([1, 2, 3]).place([1, 2, 3, 4], 10, reuse=False)
    assert place is not None
    assert (place.kept, place.source) == (0, None)
