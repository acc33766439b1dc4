"""Poison jobs and service times."""

from infsup.supervisor.blame import POISON_SECONDS, REMEMBERED, Blame
from infsup.supervisor.service_times import ServiceTimes


def test_blame_two_deaths_alone_are_poison_for_a_while() -> None:
    blame = Blame()
    assert blame.note_death("m", b"p", 0.0, alone=True)
    assert not blame.is_poison("m", b"p", 0.0)
    assert not blame.note_death("m", b"p", 5.0, alone=True)
    assert blame.is_poison("m", b"p", 5.0)
    assert not blame.is_poison("m", b"q", 5.0)
    assert not blame.is_poison("n", b"p", 5.0)
    assert not blame.is_poison("m", b"p", 5.0 + POISON_SECONDS)


def test_blame_an_answer_between_two_deaths_is_an_acquittal() -> None:
    blame = Blame()
    assert blame.note_death("m", b"p", 0.0, alone=True)
    blame.note_success("m", b"p")
    assert not blame.note_death("m", b"p", 1.0, alone=True)  # for the circuit it still counts once
    blame.note_success("n", b"p")
    assert not blame.is_poison("m", b"p", 1.0)
    blame.note_death("m", b"p", 2.0, alone=True)
    assert blame.is_poison("m", b"p", 2.0)


def test_blame_deaths_in_company_are_not_poison() -> None:
    blame = Blame()
    for now in range(5):
        blame.note_death("m", b"p", float(now), alone=False)
    assert not blame.is_poison("m", b"p", 5.0)


def test_blame_is_bounded_and_can_be_cleared() -> None:
    blame = Blame()
    for number in range(REMEMBERED + 10):
        for _ in range(2):
            blame.note_death("m", str(number).encode(), 0.0, alone=True)
    assert not blame.is_poison("m", b"0", 0.0)
    assert blame.is_poison("m", str(REMEMBERED + 9).encode(), 0.0)
    blame.clear()
    assert not blame.is_poison("m", str(REMEMBERED + 9).encode(), 0.0)


def test_service_times_follow_recent_jobs_within_bounds() -> None:
    times = ServiceTimes()
    assert times.until_room("m", 10, 1) == 1.0
    for _ in range(50):
        times.note("m", 4.0)
    assert times.until_room("m", 10, 1) == 4.0
    assert times.until_room("m", 100, 2) == 20.0
    assert times.until_room("m", 10**6, 1) == 600.0
    assert times.until_room("other", 10, 1) == 1.0
