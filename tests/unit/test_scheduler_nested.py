"""Nested jobs in the scheduler: what they are exempt from, what they go before, and whom they may displace."""

import pytest

from infsup.supervisor.decisions import Assign, Drain, ModelLimits, QueueIsFull, Spawn
from infsup.supervisor.room import Gpu, Needs, Share
from infsup.supervisor.scheduler import Scheduler


def scheduler(*models: ModelLimits, concurrency: int = 0, gpu: int = 1) -> Scheduler:
    made = Scheduler(concurrency, total=Share(memory=100, gpu=gpu), swap_patience=2.0)
    for limits in models:
        made.set_model(limits)
    return made


def start(made: Scheduler, model: str, job: str, instance: str, capacity: int = 1) -> None:
    """Submit a job and let its instance load."""
    assert [one for one in made.submit(model, job, 0.0) if isinstance(one, Spawn)] != []
    assert Assign(job, instance) in made.instance_ready(instance, capacity, 0.0)


def test_nested_job_is_exempt_from_concurrency_and_does_not_count() -> None:
    made = scheduler(ModelLimits("a"), ModelLimits("b", max_instances=2), concurrency=1)
    start(made, "a", "parent", "a-1")
    assert made.submit("b", "other", 0.0) == []
    assert made.submit("b", "child", 0.0, parent="parent") == [Spawn("b", "b-2")]
    assert made.instance_ready("b-2", 1, 0.0) == [Assign("child", "b-2")]
    assert made.finish("b-2", "child", 1.0) == []
    assert made.finish("a-1", "parent", 2.0) == [Assign("other", "b-2")]


def test_nested_job_is_exempt_from_max_queue_and_goes_first() -> None:
    made = scheduler(ModelLimits("a"), ModelLimits("b", max_queue=1))
    start(made, "a", "parent", "a-1")
    start(made, "b", "running", "b-2")
    made.submit("b", "waiting", 0.0, priority=10)
    with pytest.raises(QueueIsFull):
        made.submit("b", "refused", 0.0)
    made.submit("b", "child", 0.0, parent="parent", priority=-10)
    assert (made.position("b", "child"), made.position("b", "waiting")) == (0, 1)
    assert made.finish("b-2", "running", 100.0) == [Assign("child", "b-2")]


def test_nested_job_that_only_its_parents_gpu_slot_blocks_is_stuck() -> None:
    needs = Needs(gpu=Gpu.MUST)
    made = scheduler(ModelLimits("a", needs=needs), ModelLimits("b", needs=needs), ModelLimits("c", needs=needs))
    start(made, "a", "parent", "a-1")
    assert made.submit("b", "child", 0.0, parent="parent") == []
    stuck = made.find_stuck()
    assert stuck is not None
    assert (stuck.job, stuck.always) == ("child", True)
    assert "a-1 (job parent)" in stuck.reason
    made.cancel("b", "child", 0.0)
    assert made.find_stuck() is None


def test_nested_job_makes_an_idle_instance_leave_and_passes_the_line() -> None:
    made = scheduler(
        ModelLimits("a", needs=Needs(memory=50)),
        ModelLimits("idle", needs=Needs(memory=40)),
        ModelLimits("b", needs=Needs(memory=40)),
        ModelLimits("first", needs=Needs(memory=60)),
    )
    start(made, "a", "parent", "a-1")
    start(made, "idle", "done", "idle-2")
    made.finish("idle-2", "done", 0.0)
    assert made.submit("first", "waits", 0.0) == []
    assert made.submit("b", "child", 1.0, parent="parent") == [Drain("idle-2", "room for b")]
    assert made.find_stuck() is None
    assert made.instance_reaped("idle", "idle-2", 1.0) == [Spawn("b", "b-3")]


def test_nested_job_takes_a_slot_beside_its_parent_though_the_instance_is_to_yield() -> None:
    made = scheduler(
        ModelLimits("a", parallel=2, needs=Needs(memory=60)), ModelLimits("b", needs=Needs(memory=60)), gpu=0
    )
    start(made, "a", "parent", "a-1", capacity=2)
    made.submit("b", "waits", 0.0)
    made.due(10.0)
    assert made.submit("a", "stranger", 10.0) == []
    assert made.submit("a", "child", 10.0, parent="parent") == [Assign("child", "a-1")]


def test_nested_jobs_that_wait_for_one_another_are_stuck_and_could_try_again() -> None:
    made = scheduler(ModelLimits("a"), ModelLimits("b"))
    start(made, "a", "p1", "a-1")
    start(made, "b", "p2", "b-2")
    made.submit("b", "c1", 0.0, parent="p1")
    assert made.find_stuck() is None
    made.submit("a", "c2", 0.0, parent="p2")
    stuck = made.find_stuck()
    assert stuck is not None
    assert (stuck.job, stuck.always) == ("c2", False)


def test_cancel_while_concurrency_is_full_does_not_forget_who_waits_for_room() -> None:
    made = scheduler(
        ModelLimits("a", ttl=-1, needs=Needs(memory=60)),
        ModelLimits("b", needs=Needs(memory=60)),
        ModelLimits("c"),
        concurrency=1,
    )
    start(made, "a", "done", "a-1")
    made.finish("a-1", "done", 0.0)
    assert made.submit("b", "one", 0.0) == [Drain("a-1", "room for b")]
    made.submit("b", "two", 0.0)
    start(made, "c", "running", "c-2")
    made.cancel("b", "one", 0.0)
    assert made.instance_reaped("a", "a-1", 1.0) == []
    assert made.finish("c-2", "running", 1.0) == [Spawn("b", "b-3")]
