"""Models that change, go and come back under a running scheduler, and books that do not grow."""

import gc

from infsup.supervisor.decisions import Assign, Drain, ModelLimits, Spawn
from infsup.supervisor.room import Gpu, Needs, Share
from infsup.supervisor.scheduler import Scheduler
from infsup.supervisor.slots import InstanceSlots

TOTAL = Share(memory=10, gpu=1)


def serving(*limits: ModelLimits, concurrency: int = 0, total: Share = TOTAL) -> Scheduler:
    scheduler = Scheduler(concurrency, total=total)
    for one in limits:
        scheduler.set_model(one)
        for decision in scheduler.load(one.name, 0.0):
            assert isinstance(decision, Spawn)
            scheduler.instance_ready(decision.instance, 1, 0.0)
    return scheduler


def test_retire_lets_running_jobs_end_and_new_ones_wait_for_no_old_instance() -> None:
    scheduler = serving(ModelLimits("m"))
    assert scheduler.submit("m", "old", 1.0) == [Assign("old", "m-1")]
    assert scheduler.retire("m", 2.0, "reload") == [Drain("m-1", "reload")]
    assert scheduler.submit("m", "new", 3.0) == [Spawn("m", "m-2")]
    assert scheduler.instance_ready("m-2", 1, 4.0) == [Assign("new", "m-2")]
    assert scheduler.finish("m-1", "old", 5.0) == []
    assert scheduler.instance_reaped("m", "m-1", 5.0) == []
    assert scheduler.running == 1


def test_remove_model_gives_its_room_to_who_waits_and_forgets_it() -> None:
    gpu = Needs(gpu=Gpu.MUST)
    scheduler = serving(ModelLimits("goes", needs=gpu, min_instances=0), ModelLimits("stays"))
    scheduler.submit("goes", "running", 1.0)
    scheduler.set_model(ModelLimits("waits", needs=gpu))
    assert scheduler.submit("waits", "w", 2.0) == []
    assert scheduler.remove_model("goes", 3.0) == [Drain("goes-1", "its model was removed")]
    assert scheduler.finish("goes-1", "running", 4.0) == []
    assert scheduler.instance_reaped("goes", "goes-1", 5.0) == [Spawn("waits", "waits-3", gpu=True)]
    scheduler.set_model(ModelLimits("goes", needs=gpu))
    assert scheduler.instances("goes") == []


def test_remove_model_with_min_instances_unpins_their_room() -> None:
    scheduler = serving(ModelLimits("goes", needs=Needs(memory=8), min_instances=1))
    scheduler.set_model(ModelLimits("big", needs=Needs(memory=8)))
    scheduler.remove_model("goes", 1.0)
    scheduler.instance_reaped("goes", "goes-1", 1.0)
    assert scheduler.submit("big", "b", 2.0) == [Spawn("big", "big-2")]


def test_set_shared_with_more_concurrency_runs_what_was_held_back() -> None:
    scheduler = serving(ModelLimits("a"), ModelLimits("b"), concurrency=1)
    assert scheduler.submit("a", "ja", 1.0) == [Assign("ja", "a-1")]
    assert scheduler.submit("b", "jb", 1.0) == []
    assert scheduler.set_shared(0, 2.0, total=TOTAL, swap_patience=1.0) == [Assign("jb", "b-2")]


def test_set_shared_with_more_memory_lets_a_model_fit() -> None:
    scheduler = serving(ModelLimits("a", needs=Needs(memory=8)))
    scheduler.set_model(ModelLimits("b", needs=Needs(memory=8)))
    scheduler.set_shared(0, 1.0, total=Share(memory=16, gpu=1), swap_patience=1.0)
    assert scheduler.submit("b", "j", 2.0) == [Spawn("b", "b-2")]


def test_set_model_with_another_ttl_holds_for_running_instances_and_the_same_keeps_keep_alive() -> None:
    scheduler = serving(ModelLimits("m", ttl=100.0))
    scheduler.submit("m", "j", 1.0, keep_alive=50.0)
    scheduler.finish("m-1", "j", 2.0)
    scheduler.set_model(ModelLimits("m", ttl=100.0, max_queue=3))
    assert scheduler.next_due(2.0) == 52.0
    scheduler.set_model(ModelLimits("m", ttl=10.0))
    assert scheduler.next_due(2.0) == 12.0


def test_instances_that_come_and_go_leave_nothing_behind() -> None:
    scheduler = serving(ModelLimits("m", ttl=0.0, needs=Needs(memory=1)))
    for number in range(500):
        now = float(number)
        for decision in scheduler.submit("m", f"j{number}", now):
            if isinstance(decision, Spawn):
                scheduler.instance_ready(decision.instance, 1, now)
        for instance in [one.id for one in scheduler.instances("m")]:
            for decision in scheduler.finish(instance, f"j{number}", now):
                assert isinstance(decision, Drain)
                scheduler.instance_reaped("m", decision.instance, now)
    gc.collect()
    assert sum(isinstance(thing, InstanceSlots) for thing in gc.get_objects()) < 200


def test_instance_kept_by_min_instances_gives_its_gpu_slot_up_if_it_can_do_without() -> None:
    scheduler = serving(ModelLimits("chat", min_instances=1, needs=Needs(gpu=Gpu.AUTO)))
    scheduler.set_model(ModelLimits("image", needs=Needs(gpu=Gpu.MUST)))
    assert scheduler.submit("image", "j", 1.0) == [Drain("chat-1", "room for image")]
    assert scheduler.instance_reaped("chat", "chat-1", 2.0) == [
        Spawn("image", "image-2", gpu=True),
        Spawn("chat", "chat-3"),
    ]


def test_instance_kept_by_min_instances_with_work_gives_its_gpu_slot_up_when_patience_is_over() -> None:
    scheduler = serving(ModelLimits("chat", min_instances=1, needs=Needs(gpu=Gpu.AUTO)))
    scheduler.set_model(ModelLimits("image", needs=Needs(gpu=Gpu.MUST)))
    scheduler.submit("chat", "long", 1.0)
    assert scheduler.submit("image", "j", 1.0) == []
    due = scheduler.next_due(1.0)
    assert due is not None
    assert scheduler.due(due) == []
    assert scheduler.submit("chat", "later", due) == []
    assert scheduler.finish("chat-1", "long", due + 1) == [Drain("chat-1", "room for image")]


def test_instance_kept_by_min_instances_is_not_ended_for_memory() -> None:
    scheduler = serving(ModelLimits("chat", min_instances=1, needs=Needs(memory=6, gpu=Gpu.AUTO)))
    scheduler.set_model(ModelLimits("big", needs=Needs(memory=4, gpu=Gpu.MUST)))
    assert scheduler.submit("big", "j", 1.0) == [Drain("chat-1", "room for big")]
    assert scheduler.instance_reaped("chat", "chat-1", 2.0) == [
        Spawn("big", "big-2", gpu=True),
        Spawn("chat", "chat-3"),
    ]
