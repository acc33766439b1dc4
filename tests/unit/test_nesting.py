"""Which nested jobs are given up: only those that nothing but themselves and one another could help."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import pytest

from infsup.supervisor.nesting import Hope, Place, ancestors, describe_stuck, find_stuck


def never(_blocked: AbstractSet[str]) -> bool:
    return False


def stuck(hopes: Sequence[Hope], parents: dict[str, str]) -> list[str]:
    return [hope.job for hope in find_stuck(hopes, parents)[0]]


def test_find_stuck_only_instance_runs_the_parent_is_stuck() -> None:
    hope = Hope("child", [Place("a-1", ("parent",))], 1, never)
    assert stuck([hope], {"child": "parent"}) == ["child"]


def test_find_stuck_only_instance_runs_the_grandparent_is_stuck() -> None:
    hope = Hope("child", [Place("a-1", ("top",))], 1, never)
    assert stuck([hope], {"child": "parent", "parent": "top"}) == ["child"]


def test_find_stuck_instance_runs_a_strangers_job_waits() -> None:
    assert stuck([Hope("child", [Place("a-1", ("stranger",))], 1, never)], {"child": "parent"}) == []


def test_find_stuck_stranger_beside_the_parent_waits_for_its_slot() -> None:
    place = Place("a-1", ("parent", "stranger"), slots=2)
    assert stuck([Hope("child", [place], 1, never)], {"child": "parent"}) == []


def test_find_stuck_solo_beside_the_parent_is_stuck() -> None:
    place = Place("a-1", ("parent", "stranger"), slots=2)
    assert stuck([Hope("child", [place], 1, never, solo=True)], {"child": "parent"}) == ["child"]


def test_find_stuck_parent_that_must_be_alone_is_stuck() -> None:
    place = Place("a-1", ("parent",), alone=True, slots=2)
    assert stuck([Hope("child", [place], 1, never)], {"child": "parent"}) == ["child"]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (Place("b-1", loading=True), []),
        (Place("b-1", ("parent",), leaves=True, slots=2), ["child"]),
        (Place("b-1", ("stranger",), leaves=True), []),
        (Place("b-1", leaves=True), []),
    ],
)
def test_find_stuck_instance_on_its_way_counts_if_it_gets_there(place: Place, expected: list[str]) -> None:
    assert stuck([Hope("child", [place], 1, lambda _: True)], {"child": "parent"}) == expected


def test_find_stuck_below_the_limit_depends_on_room() -> None:
    def without_parents_instance(blocked: AbstractSet[str]) -> bool:
        return "parent" not in blocked

    assert stuck([Hope("child", [], 1, without_parents_instance)], {"child": "parent"}) == ["child"]
    assert stuck([Hope("child", [], 1, lambda _: True)], {"child": "parent"}) == []


def test_find_stuck_cross_cycle_both_are_stuck() -> None:
    hopes = [Hope("c1", [Place("b-1", ("p2",))], 1, never), Hope("c2", [Place("a-1", ("p1",))], 1, never)]
    assert stuck(hopes, {"c1": "p1", "c2": "p2"}) == ["c1", "c2"]
    assert stuck(hopes[:1], {"c1": "p1"}) == []


def test_find_stuck_chain_with_an_end_all_live() -> None:
    hopes = [
        Hope("c1", [Place("b-1", ("p2",))], 1, never),
        Hope("c2", [Place("c-1", ("p3",))], 1, never),
        Hope("c3", [Place("d-1", ("stranger",))], 1, never),
    ]
    assert stuck(hopes, {"c1": "p1", "c2": "p2", "c3": "p3"}) == []


def test_find_stuck_nothing_waits_is_nothing() -> None:
    assert find_stuck([], {}) == ([], frozenset())


def test_ancestors_are_named_from_the_nearest_on() -> None:
    assert list(ancestors("c", {"c": "b", "b": "a"})) == ["b", "a"]


def test_describe_stuck_names_who_holds_what() -> None:
    places = [Place("a-1", ("p1",)), Place("b-1", ("stranger",))]
    text = describe_stuck("a", places, {"p1"})
    assert "'a'" in text
    assert "a-1 (job p1)" in text
    assert "b-1" not in text
