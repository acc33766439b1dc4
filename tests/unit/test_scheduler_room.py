"""Room changes hands: memory and GPU slots, one rule after the other."""

from typing import Any

import pytest

from infsup.supervisor.decisions import Assign, Decision, Drain, ModelLimits, NeverFits, QueueIsFull, Spawn
from infsup.supervisor.room import Gpu, Needs, Share
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


def gpu_model(name: str) -> ModelLimits:
    return ModelLimits(name, ttl=-1.0, needs=Needs(gpu=Gpu.MUST))


def test_room_idle_holder_leaves_at_once_for_another_model() -> None:
    scheduler = make(gpu_model("a"), gpu_model("b"), total=Share(memory=0, gpu=1))
    ready(scheduler, scheduler.submit("a", "a1", 0.0))
    scheduler.finish("a-1", "a1", 1.0)
    assert scheduler.submit("b", "b1", 1.5) == [Drain("a-1", "room for b")]
    assert scheduler.instance_reaped("a", "a-1", 1.6) == [Spawn("b", "b-2", gpu=True)]


def test_room_holder_with_work_keeps_it_for_its_patience_then_gives_way() -> None:
    scheduler = make(gpu_model("a"), gpu_model("b"), total=Share(gpu=1), swap_patience=10.0)
    ready(scheduler, scheduler.submit("a", "a1", 0.0))
    scheduler.submit("a", "a2", 0.0)
    scheduler.submit("a", "a3", 0.0)
    assert scheduler.submit("b", "b1", 1.0) == []
    assert scheduler.finish("a-1", "a1", 5.0) == [Assign("a2", "a-1")]
    assert scheduler.next_due(5.0) == 10.0
    assert scheduler.due(10.0) == []
    assert scheduler.finish("a-1", "a2", 11.0) == [Drain("a-1", "room for b")]
    spawned = scheduler.instance_reaped("a", "a-1", 11.1)
    assert spawned == [Spawn("b", "b-2", gpu=True)]
    assert ready(scheduler, spawned, 12.0) == [Assign("b1", "b-2")]
    # Now a waits, and gets it as soon as b has no work.
    assert scheduler.finish("b-2", "b1", 13.0) == [Drain("b-2", "room for a")]
    assert ready(scheduler, scheduler.instance_reaped("b", "b-2", 13.1), 14.0) == [Assign("a3", "a-3")]


def test_room_automatic_gpu_falls_back_and_leaves_it_to_who_needs_it() -> None:
    auto = ModelLimits("auto", max_instances=2, needs=Needs(gpu=Gpu.AUTO))
    scheduler = make(auto, total=Share(gpu=1))
    assert scheduler.submit("auto", "j1", 0.0) == [Spawn("auto", "auto-1", gpu=True)]
    assert scheduler.submit("auto", "j2", 0.0) == [Spawn("auto", "auto-2", gpu=False)]


def test_room_least_valuable_leave_and_nobody_for_nothing() -> None:
    small = [ModelLimits(name, ttl=-1.0, needs=Needs(memory=40)) for name in ("quick", "slow")]
    big = ModelLimits("big", needs=Needs(memory=50))
    scheduler = make(*small, big, total=Share(memory=100))
    for name, seconds in (("quick", 0.1), ("slow", 30.0)):
        spawned = scheduler.load(name, 0.0)
        assert isinstance(spawned[0], Spawn)
        scheduler.instance_ready(spawned[0].instance, 1, 0.0, load_seconds=seconds)
    assert scheduler.submit("big", "b1", 5.0) == [Drain("quick-1", "room for big")]


def test_room_that_can_never_be_is_refused_at_once() -> None:
    pinned = ModelLimits("pinned", min_instances=1, needs=Needs(memory=60))
    scheduler = make(pinned, ModelLimits("big", needs=Needs(memory=50)), gpu_model("gpu"), total=Share(memory=100))
    for name in ("big", "gpu"):
        with pytest.raises(NeverFits):
            scheduler.submit(name, "j", 0.0)
        assert scheduler.waiting(name) == 0


def test_cancel_gives_the_room_that_was_waited_for_to_the_next() -> None:
    big, small = ModelLimits("big", needs=Needs(memory=90)), ModelLimits("small", needs=Needs(memory=10))
    scheduler = make(ModelLimits("held", needs=Needs(memory=60)), big, small, total=Share(memory=100))
    ready(scheduler, scheduler.submit("held", "h1", 0.0))
    assert scheduler.submit("big", "b1", 1.0) == []
    assert scheduler.submit("small", "s1", 1.0) == []
    assert scheduler.cancel("big", "b1", 2.0) == [Spawn("small", "small-2")]


def test_room_that_comes_free_is_for_all_who_fit_into_it() -> None:
    small = [ModelLimits(name, needs=Needs(memory=40)) for name in ("a", "b")]
    scheduler = make(ModelLimits("big", ttl=-1.0, needs=Needs(memory=90)), *small, total=Share(memory=100))
    ready(scheduler, scheduler.submit("big", "j1", 0.0))
    for name in ("a", "b"):
        assert scheduler.submit(name, f"{name}1", 1.0) == []
    assert scheduler.finish("big-1", "j1", 2.0) == [Drain("big-1", "room for a")]
    assert scheduler.instance_reaped("big", "big-1", 2.1) == [Spawn("a", "a-2"), Spawn("b", "b-3")]


def test_room_of_those_with_work_the_longest_holder_gives_way() -> None:
    holders = [ModelLimits(name, ttl=-1.0, needs=Needs(memory=50)) for name in ("late", "early")]
    scheduler = make(*holders, ModelLimits("new", needs=Needs(memory=50)), total=Share(memory=100))
    ready(scheduler, scheduler.submit("early", "e1", 0.0), 0.0)
    ready(scheduler, scheduler.submit("late", "l1", 1.0), 1.0)
    for name in ("early", "late"):
        scheduler.submit(name, f"{name}2", 2.0)
    assert scheduler.submit("new", "n1", 20.0) == []
    assert scheduler.finish("late-2", "l1", 21.0) == [Assign("late2", "late-2")]
    assert scheduler.finish("early-1", "e1", 21.0) == [Drain("early-1", "room for new")]


def test_submit_refused_while_others_would_have_to_make_room_ends_nobody() -> None:
    holder = ModelLimits("holder", ttl=-1.0, needs=Needs(memory=60))
    scheduler = make(holder, ModelLimits("m", max_queue=0, needs=Needs(memory=60)), total=Share(memory=100))
    ready(scheduler, scheduler.load("holder", 0.0))
    with pytest.raises(QueueIsFull):
        scheduler.submit("m", "j1", 1.0)
    assert scheduler.has_ready_instance("holder")
