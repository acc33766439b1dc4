"""Restart policy, queue, cores, health, post-mortems: the pure parts of the supervisor."""

import math
from typing import Any

import pytest

from infsup.protocol.errors import EngineMissing
from infsup.protocol.messages import Beat
from infsup.supervisor.config import parse_config
from infsup.supervisor.cores import CoreLeases, threads_for
from infsup.supervisor.deaths import describe_exit, find_stacks
from infsup.supervisor.health import HealthLimits, find_stall
from infsup.supervisor.instance import Instance
from infsup.supervisor.lifecycle import FINAL, TRANSITIONS, State, Transition, TransitionError
from infsup.supervisor.process import ChildProcess, LogRing
from infsup.supervisor.queue import JobQueue, Waiting
from infsup.supervisor.restart import LAST_BACKOFF, RestartPolicy


def policy(max_restarts: int = 2) -> RestartPolicy:
    return RestartPolicy(max_restarts, 60.0, lambda: 1.0)


def test_restart_after_a_served_job_is_immediate() -> None:
    one = policy()
    one.on_death(10.0, 0.0, "boom", served=True, counts=True)
    assert one.may_spawn(10.0)


def test_restart_backoff_doubles_up_to_its_bound() -> None:
    one = policy(-1)
    waits: list[float] = []
    for _ in range(12):
        one.on_death(100.0, 0.0, "boom", served=False, counts=True)
        waits.append(round(one.not_before - 100.0, 6))
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-1] == LAST_BACKOFF
    assert one.outage is None


def test_circuit_opens_after_too_many_deaths_and_closes_on_a_load() -> None:
    one = policy(2)
    for now in (1.0, 2.0):
        one.on_death(now, now, "boom", served=False, counts=True)
        assert one.outage is None
    one.on_death(3.0, 3.0, "boom", served=False, counts=True)
    assert one.outage is not None
    assert (one.outage.since, one.outage.reason) == (3.0, "boom")
    one.on_death(9.0, 9.0, "boom again", served=False, counts=True)
    assert (one.outage.since, one.outage.reason) == (3.0, "boom again")
    one.on_loaded()
    assert one.outage is None


def test_circuit_forgets_deaths_outside_the_window_and_those_of_jobs() -> None:
    one = policy(1)
    one.on_death(0.0, 0.0, "boom", served=False, counts=True)
    one.on_death(61.0, 0.0, "boom", served=False, counts=True)
    one.on_death(62.0, 0.0, "boom", served=True, counts=False)
    assert one.outage is None


def test_give_up_needs_a_reset() -> None:
    one = policy()
    one.give_up(EngineMissing("pip install it"), 5.0)
    one.on_death(6.0, 6.0, "exit 1", served=False, counts=True)
    assert one.not_before == math.inf
    assert one.outage is not None
    assert one.outage.error is not None
    one.reset()
    assert one.may_spawn(0.0)


def test_queue_remove_and_drain() -> None:
    queue = JobQueue()
    for order in range(4):
        queue.push(Waiting(f"j{order}", "m", "c", 0, 0.0, order))
    assert queue.remove("j1") is not None
    assert queue.remove("j1") is None
    assert "j2" in queue
    assert [waiting.job for waiting in queue.drain()] == ["j0", "j2", "j3"]
    assert queue.size == 0
    assert queue.peek(0.0) is None


def test_core_leases_are_disjoint_while_there_are_enough() -> None:
    cores = CoreLeases([0, 1, 2, 3])
    assert cores.take("a", 2) == (0, 1)
    assert cores.take("b", 2) == (2, 3)
    assert cores.take("c", 1) == (0,)
    cores.give_back("b")
    assert cores.take("d", 2) == (2, 3)
    cores.give_back("nobody")
    assert cores.of("b") == ()


@pytest.mark.parametrize(
    ("wanted", "instances", "cores", "threads"), [(0, 1, 8, 8), (0, 3, 8, 2), (0, 9, 4, 1), (16, 1, 4, 4), (2, 1, 4, 2)]
)
def test_threads_for_shares_the_cores(wanted: int, instances: int, cores: int, threads: int) -> None:
    assert threads_for(wanted, instances, cores) == threads


def make_instance(state: State = State.BUSY) -> Instance:
    steps: list[Transition] = []
    process = ChildProcess("m-1", lambda _child: None, LogRing())
    config = parse_config({"models": {"m": {"task": "text-completion", "engine": "fault"}}}, None, {}).models["m"]
    instance = Instance("m-1", "m", config, b"", process, (), False, 0.0, steps.append, lambda: 0.0)  # noqa: FBT003
    instance.state = state
    return instance


LIMITS = HealthLimits(start=60, load=300, prefill=120, decode=60, opaque=600, beat=15)


@pytest.mark.parametrize(("state", "phase", "changes", "word"), [
    (State.STARTING, "starting", {"started_at": -61.0}, "hello"),
    (State.LOADING, "load", {"progress_at": -301.0}, "load"),
    (State.BUSY, "decode", {"progress_at": -61.0}, "decode"),
    (State.BUSY, "prefill", {"progress_at": -121.0}, "prefill"),
    (State.BUSY, "idle", {"progress_at": -121.0}, "idle"),
    (State.IDLE, "idle", {"beat_at": -16.0}, "beat"),
])  # fmt: skip
def test_find_stall_names_what_is_missing(state: State, phase: str, changes: dict[str, Any], word: str) -> None:
    instance = make_instance(state)
    instance.phase = phase
    instance.jobs = {"j"} if state is State.BUSY else set()
    for name, value in changes.items():
        setattr(instance, name, value)
    assert word in (find_stall(instance, LIMITS, 0.0) or "")
    instance.forgive(2.0)
    assert find_stall(instance, LIMITS, 0.0) is None


@pytest.mark.parametrize("phase", ["waiting", "opaque"])
def test_find_stall_long_healthy_work_is_left_alone(phase: str) -> None:
    instance = make_instance()
    instance.phase, instance.jobs, instance.progress_at = phase, {"j"}, -500.0
    assert find_stall(instance, LIMITS, 0.0) is None


def test_beats_with_progress_move_the_clock_others_do_not() -> None:
    instance = make_instance()
    instance.note_beat(Beat("decode", 1, 5), 1.0)
    instance.note_beat(Beat("decode", 1, 6), 2.0)
    assert (instance.beat_at, instance.progress_at, list(instance.memory)) == (2.0, 1.0, [5, 6])
    instance.note_beat(Beat("decode", 2), 3.0)
    assert instance.progress_at == 3.0


def test_lifecycle_final_states_lead_nowhere_and_the_others_can_die() -> None:
    for state, following in TRANSITIONS.items():
        assert (state in FINAL) == (not following)
        assert state in FINAL or {State.CRASHED, State.KILLED} <= following
    instance = make_instance(State.STOPPED)
    with pytest.raises(TransitionError):
        instance.move(State.IDLE)


def test_log_ring_joins_pieces_cuts_long_lines_and_replaces_bad_bytes() -> None:
    seen: list[str] = []
    ring = LogRing(seen.append)
    ring.feed(b"one\ntw")
    ring.feed(b"o\n\xff\r\n" + b"x" * 5000)
    ring.feed(b"end")
    ring.finish()
    assert seen[:3] == ["one", "two", "�"]
    assert len(seen[3]) == 4096
    assert ring.tail(1) == ["end"]


@pytest.mark.parametrize(("status", "expected"), [
    (0, ("exit status 0", 0, None)), (70, ("exit status 70", 70, None)), (-11, ("SIGSEGV", None, "SIGSEGV")),
    (-250, ("signal 250", None, "signal 250")), (None, ("still running", None, None)),
])  # fmt: skip
def test_describe_exit(status: int | None, expected: tuple[str, int | None, str | None]) -> None:
    assert describe_exit(status) == expected


def test_find_stacks_begins_at_the_dump() -> None:
    lines = ["hello", "Current thread 0x01 (most recent call first):", '  File "x.py", line 1 in f']
    assert find_stacks(lines) == tuple(lines[1:])
