"""The scheduling rules, one by one."""

from typing import Any

import pytest

from infsup.supervisor.decisions import Assign, Decision, Drain, ModelLimits, QueueIsFull, Spawn
from infsup.supervisor.scheduler import Scheduler


def make(*limits: ModelLimits, concurrency: int = 0, **options: Any) -> Scheduler:
    scheduler = Scheduler(concurrency, **options)
    for one in limits:
        scheduler.set_model(one)
    return scheduler


def ready(scheduler: Scheduler, decisions: list[Decision], now: float = 0.0, capacity: int = 1) -> list[Decision]:
    """Bring every instance that was spawned to life; return what follows."""
    follow: list[Decision] = []
    for decision in decisions:
        if isinstance(decision, Spawn):
            follow += scheduler.instance_ready(decision.instance, capacity, now)
    return follow


def test_submit_without_instance_spawns_and_assigns_when_ready() -> None:
    scheduler = make(ModelLimits("m"))
    decisions = scheduler.submit("m", "j1", 0.0)
    assert decisions == [Spawn("m", "m-1")]
    assert ready(scheduler, decisions) == [Assign("j1", "m-1")]


def test_submit_second_job_waits_for_the_only_slot() -> None:
    scheduler = make(ModelLimits("m"))
    ready(scheduler, scheduler.submit("m", "j1", 0.0))
    assert scheduler.submit("m", "j2", 0.0) == []
    assert scheduler.waiting("m") == 1
    assert scheduler.finish("m-1", "j1", 1.0) == [Assign("j2", "m-1")]


def test_submit_with_room_for_instances_spawns_one_for_each_waiting_job() -> None:
    scheduler = make(ModelLimits("m", max_instances=2))
    first = scheduler.submit("m", "j1", 0.0)
    assert scheduler.submit("m", "j2", 0.0) == [Spawn("m", "m-2")]
    assert scheduler.submit("m", "j3", 0.0) == []
    assert first == [Spawn("m", "m-1")]


def test_submit_counts_reservations_of_parallel_instances() -> None:
    scheduler = make(ModelLimits("m", max_instances=4, parallel=2))
    assert scheduler.submit("m", "j1", 0.0) == [Spawn("m", "m-1")]
    assert scheduler.submit("m", "j2", 0.0) == []
    assert scheduler.submit("m", "j3", 0.0) == [Spawn("m", "m-2")]


def test_choose_slot_with_the_longest_prefix_wins() -> None:
    scheduler = make(ModelLimits("m", min_instances=2, max_instances=2))
    ready(scheduler, scheduler.maintain("m", 0.0))
    assert scheduler.submit("m", "a1", 1.0, prefix=(b"a",)) == [Assign("a1", "m-1")]
    assert scheduler.submit("m", "b1", 1.0, prefix=(b"b",)) == [Assign("b1", "m-2")]
    scheduler.finish("m-1", "a1", 2.0)
    scheduler.finish("m-2", "b1", 3.0)
    assert scheduler.submit("m", "b2", 4.0, prefix=(b"b", b"b2")) == [Assign("b2", "m-2")]
    assert scheduler.submit("m", "a2", 4.0, prefix=(b"a", b"a2")) == [Assign("a2", "m-1")]


def test_choose_slot_without_shared_prefix_takes_the_empty_one() -> None:
    scheduler = make(ModelLimits("m", min_instances=2, max_instances=2))
    ready(scheduler, scheduler.maintain("m", 0.0))
    scheduler.submit("m", "a1", 1.0, prefix=(b"a",))
    scheduler.finish("m-1", "a1", 2.0)
    assert scheduler.submit("m", "c1", 3.0, prefix=(b"c",)) == [Assign("c1", "m-2")]


def test_choose_slot_all_used_takes_the_least_recent_and_spawns_a_spare() -> None:
    scheduler = make(ModelLimits("m", max_instances=2))
    ready(scheduler, scheduler.submit("m", "a1", 0.0, prefix=(b"a",)))
    scheduler.finish("m-1", "a1", 1.0)
    assert scheduler.submit("m", "b1", 2.0, prefix=(b"b",)) == [Assign("b1", "m-1"), Spawn("m", "m-2")]


def test_submit_over_max_queue_is_refused_and_leaves_no_trace() -> None:
    scheduler = make(ModelLimits("m", max_queue=1))
    ready(scheduler, scheduler.submit("m", "j1", 0.0))
    scheduler.submit("m", "j2", 0.0)
    with pytest.raises(QueueIsFull):
        scheduler.submit("m", "j3", 0.0)
    assert scheduler.waiting("m") == 1


def test_submit_while_loading_does_not_count_reserved_jobs_as_queued() -> None:
    scheduler = make(ModelLimits("m", max_queue=1, parallel=2))
    for job in ("j1", "j2", "j3"):
        scheduler.submit("m", job, 0.0)
    with pytest.raises(QueueIsFull):
        scheduler.submit("m", "j4", 0.0)


def test_priority_goes_first_and_aging_catches_up() -> None:
    scheduler = make(ModelLimits("m"))
    ready(scheduler, scheduler.submit("m", "j0", 0.0))
    scheduler.submit("m", "old", 0.0, priority=0)
    scheduler.submit("m", "urgent", 5.0, priority=1)
    assert scheduler.finish("m-1", "j0", 6.0) == [Assign("urgent", "m-1")]
    scheduler.submit("m", "urgent2", 20.0, priority=1)
    assert scheduler.finish("m-1", "urgent", 20.0) == [Assign("old", "m-1")]


def test_clients_take_turns() -> None:
    scheduler = make(ModelLimits("m"))
    ready(scheduler, scheduler.submit("m", "b0", 0.0, client="batch"))
    for number in range(1, 4):
        scheduler.submit("m", f"b{number}", 0.0, client="batch")
    scheduler.submit("m", "c0", 0.0, client="chat")
    assert scheduler.finish("m-1", "b0", 1.0) == [Assign("c0", "m-1")]
    assert scheduler.finish("m-1", "c0", 1.0) == [Assign("b1", "m-1")]


def test_concurrency_caps_over_models_and_nobody_starves() -> None:
    limits = [ModelLimits(name, min_instances=1) for name in ("a", "b")]
    scheduler = make(*limits, concurrency=1)
    for name in ("a", "b"):
        ready(scheduler, scheduler.maintain(name, 0.0))
    assert scheduler.submit("a", "a1", 0.0) == [Assign("a1", "a-1")]
    for job in ("a2", "a3"):
        assert scheduler.submit("a", job, 0.0) == []
    assert scheduler.submit("b", "b1", 0.0) == []
    assert scheduler.finish("a-1", "a1", 1.0) == [Assign("a2", "a-1")]
    assert scheduler.finish("a-1", "a2", 1.0) == [Assign("b1", "b-2")]
    assert scheduler.finish("b-2", "b1", 1.0) == [Assign("a3", "a-1")]


def test_ttl_passes_drains_once_and_frees_the_place_when_reaped() -> None:
    scheduler = make(ModelLimits("m", ttl=10.0))
    ready(scheduler, scheduler.submit("m", "j1", 0.0))
    scheduler.finish("m-1", "j1", 5.0)
    assert scheduler.next_due(5.0) == 15.0
    assert scheduler.due(14.9) == []
    assert scheduler.due(15.0) == [Drain("m-1", "ttl")]
    assert scheduler.due(15.0) == []
    assert scheduler.submit("m", "j2", 15.1) == []
    assert scheduler.instance_reaped("m", "m-1", 15.2) == [Spawn("m", "m-2")]


def test_ttl_zero_ends_after_each_job_but_not_with_work_left() -> None:
    scheduler = make(ModelLimits("m", ttl=0.0))
    ready(scheduler, scheduler.submit("m", "j1", 0.0))
    scheduler.submit("m", "j2", 0.0)
    assert scheduler.finish("m-1", "j1", 1.0) == [Assign("j2", "m-1")]
    assert scheduler.finish("m-1", "j2", 2.0) == [Drain("m-1", "ttl")]


def test_ttl_never_goes_below_min_instances() -> None:
    scheduler = make(ModelLimits("m", min_instances=1, max_instances=2, ttl=1.0))
    ready(scheduler, scheduler.maintain("m", 0.0))
    assert scheduler.next_due(0.0) is None
    assert scheduler.due(100.0) == []


def test_keep_alive_of_the_last_job_replaces_the_ttl() -> None:
    scheduler = make(ModelLimits("m", ttl=10.0))
    ready(scheduler, scheduler.submit("m", "j1", 0.0, keep_alive=-1))
    scheduler.finish("m-1", "j1", 1.0)
    assert scheduler.next_due(0.0) is None
    scheduler.submit("m", "j2", 2.0, keep_alive=3.0)
    scheduler.finish("m-1", "j2", 2.0)
    assert scheduler.next_due(2.0) == 5.0


def test_requeue_after_a_death_goes_to_the_front() -> None:
    scheduler = make(ModelLimits("m"))
    ready(scheduler, scheduler.submit("m", "j1", 0.0))
    scheduler.submit("m", "j2", 0.0)
    scheduler.instance_gone("m-1", 1.0)
    assert scheduler.requeue("j1", 1.0) == []
    decisions = scheduler.instance_reaped("m", "m-1", 1.0)
    assert decisions == [Spawn("m", "m-2")]
    assert ready(scheduler, decisions) == [Assign("j1", "m-2")]


def test_hold_forbids_spawning_until_it_has_passed() -> None:
    scheduler = make(ModelLimits("m"))
    scheduler.hold("m", 5.0)
    assert scheduler.submit("m", "j1", 0.0) == []
    assert scheduler.maintain("m", 5.0) == [Spawn("m", "m-1")]


def test_cancel_takes_a_waiting_job_out_and_only_that() -> None:
    scheduler = make(ModelLimits("m"))
    ready(scheduler, scheduler.submit("m", "j1", 0.0))
    scheduler.submit("m", "j2", 0.0)
    assert scheduler.cancel("m", "j2", 0.0) == []
    assert scheduler.waiting("m") == 0
    for job in ("j2", "j1", "never"):
        assert scheduler.cancel("m", job, 0.0) == []
    assert scheduler.running == 1
    assert scheduler.finish("m-1", "j1", 1.0) == []


def test_requeue_solo_gets_an_instance_to_itself() -> None:
    scheduler = make(ModelLimits("m", parallel=2))
    spawned = scheduler.submit("m", "j1", 0.0)
    scheduler.submit("m", "j2", 0.0)
    ready(scheduler, spawned, capacity=2)
    scheduler.instance_gone("m-1", 1.0)
    scheduler.requeue("j1", 1.0, solo=True)
    scheduler.requeue("j2", 1.0, solo=True)
    respawned = scheduler.instance_reaped("m", "m-1", 1.0)
    assert ready(scheduler, respawned, capacity=2) == [Assign("j1", "m-2")]
    assert scheduler.submit("m", "j3", 2.0) == []
    assert scheduler.finish("m-2", "j1", 3.0) == [Assign("j2", "m-2")]
    assert scheduler.finish("m-2", "j2", 4.0) == [Assign("j3", "m-2")]


def test_recycle_replaces_one_at_a_time() -> None:
    scheduler = make(ModelLimits("m", min_instances=2, max_instances=2))
    ready(scheduler, scheduler.maintain("m", 0.0))
    first = scheduler.recycle("m-1", 1.0)
    assert first == [Spawn("m", "m-3")]
    assert scheduler.recycle("m-2", 1.0) == []
    assert ready(scheduler, first, 2.0) == [Drain("m-1", "recycled")]
    scheduler.instance_reaped("m", "m-1", 2.1)
    assert scheduler.recycle("m-2", 2.2) == [Spawn("m", "m-4")]


def test_ttl_waits_until_as_many_as_min_instances_are_ready() -> None:
    scheduler = make(ModelLimits("m", min_instances=1, max_instances=2, ttl=1.0))
    ready(scheduler, scheduler.maintain("m", 0.0))
    scheduler.submit("m", "j1", 0.0, prefix=(b"a",))
    scheduler.finish("m-1", "j1", 0.5)
    spare = scheduler.submit("m", "j2", 1.0, prefix=(b"b",))
    assert spare == [Assign("j2", "m-1"), Spawn("m", "m-2")]
    scheduler.finish("m-1", "j2", 1.5)
    assert scheduler.due(10.0) == []
    assert scheduler.instance_ready("m-2", 1, 10.0) == []
    assert scheduler.due(10.0) == [Drain("m-1", "ttl")]
    assert scheduler.next_due(10.0) is None


def test_requeue_of_a_batch_keeps_its_order_before_later_jobs() -> None:
    scheduler = make(ModelLimits("m", parallel=2))
    spawned = scheduler.submit("m", "j1", 0.0)
    for job in ("j2", "j3"):
        scheduler.submit("m", job, 0.0)
    ready(scheduler, spawned, capacity=2)
    scheduler.instance_gone("m-1", 1.0)
    for job in ("j1", "j2"):
        scheduler.requeue(job, 1.0)
    assert [scheduler.position("m", job) for job in ("j1", "j2", "j3")] == [0, 1, 2]
    respawned = scheduler.instance_reaped("m", "m-1", 1.0)
    assert ready(scheduler, respawned, capacity=2) == [Assign("j1", "m-2"), Assign("j2", "m-2")]
