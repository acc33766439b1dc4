"""Nobody starves, however others behave: within a model, between models that want one place, and in a line for room."""

from hypothesis import given, settings
from hypothesis import strategies as st

from infsup.supervisor.decisions import Assign, Decision, Drain, ModelLimits, Spawn
from infsup.supervisor.queue import AGING_SECONDS
from infsup.supervisor.room import Gpu, Needs, Share
from infsup.supervisor.scheduler import Scheduler

RUNS = settings(max_examples=100, derandomize=True, deadline=None)


@RUNS
@given(
    seconds=st.floats(2.0, 30.0),
    arrivals=st.integers(1, 3),
    rivals=st.lists(st.tuples(st.integers(-10, 10), st.sampled_from("xyz")), min_size=1, max_size=20),
)
def test_a_job_of_the_lowest_priority_is_served_after_all_that_it_can_be_outranked_by(
    seconds: float, arrivals: int, rivals: list[tuple[int, str]]
) -> None:
    """Each time a job ends, up to three more important ones come: the old one still gets its turn."""
    scheduler = Scheduler()
    scheduler.set_model(ModelLimits("m", max_queue=10**6))
    spawn = scheduler.submit("m", "first", 0.0)[0]
    assert isinstance(spawn, Spawn)
    scheduler.instance_ready(spawn.instance, 1, 0.0)
    scheduler.submit("m", "patient", 0.0, client="p", priority=-10)
    now, running, count = 0.0, "first", 0
    while running != "patient":
        for _ in range(arrivals):
            priority, client = rivals[count % len(rivals)]
            count += 1
            scheduler.submit("m", f"r{count}", now, client=client, priority=priority)
        now += seconds
        (assigned,) = scheduler.finish(spawn.instance, running, now)
        assert isinstance(assigned, Assign)
        running = assigned.job
        # 20 steps of priority lie between the two ends: who comes after that many is behind it, or in its round.
        assert now <= arrivals * 21 * AGING_SECONDS + 5 * seconds, "it starves"


@RUNS
@given(
    patience=st.floats(0.0, 20.0),
    load_seconds=st.floats(0.1, 10.0),
    job_seconds=st.floats(0.5, 5.0),
)
def test_two_models_with_endless_work_share_one_place_without_thrashing(
    patience: float, load_seconds: float, job_seconds: float
) -> None:
    """Each keeps the GPU slot for its patience, and for no longer than that and one job."""
    scheduler = Scheduler(total=Share(gpu=1), swap_patience=patience)
    for name in ("a", "b"):
        scheduler.set_model(ModelLimits(name, ttl=-1.0, needs=Needs(gpu=Gpu.MUST), max_queue=10**6))
    keeps = max(patience, 3 * load_seconds)
    now, count, ready_at, turns = 0.0, 0, 0.0, list[str]()
    todo: list[Decision] = []
    for name in ("a", "b"):
        todo += scheduler.submit(name, f"{name}0", now)
    while len(turns) < 6:
        decision = todo.pop(0)
        match decision:
            case Spawn(model, instance):
                turns.append(model)
                now += load_seconds
                ready_at = now
                todo += scheduler.instance_ready(instance, 1, now, load_seconds=load_seconds)
            case Assign(job, instance):
                count += 1
                scheduler.submit(turns[-1], f"{turns[-1]}{count}", now)
                now += job_seconds
                todo += [*scheduler.finish(instance, job, now), *scheduler.due(now)]
            case Drain(instance):
                assert now - ready_at >= keeps, "swapped too early"
                assert now - ready_at <= keeps + 2 * job_seconds, "kept too long"
                todo += scheduler.instance_reaped(turns[-1], instance, now)
    assert turns == ["a", "b"] * 3


@RUNS
@given(sizes=st.lists(st.integers(1, 100), min_size=2, max_size=12))
def test_models_that_wait_for_room_get_it_in_the_order_in_which_they_came(sizes: list[int]) -> None:
    """However well a later one would fit, it does not overtake an earlier one."""
    scheduler = Scheduler(total=Share(memory=100))
    scheduler.set_model(ModelLimits("holder", needs=Needs(memory=100)))
    (spawn,) = scheduler.submit("holder", "h", 0.0)
    assert isinstance(spawn, Spawn)
    scheduler.instance_ready(spawn.instance, 1, 0.0)
    names = [f"m{index}" for index in range(len(sizes))]
    for name, size in zip(names, sizes, strict=True):
        scheduler.set_model(ModelLimits(name, ttl=0.0, needs=Needs(memory=size)))
        assert scheduler.submit(name, f"job of {name}", 1.0) == []
    todo = scheduler.finish(spawn.instance, "h", 2.0)
    models = {spawn.instance: "holder"}
    order: list[str] = []
    while todo:
        match todo.pop(0):
            case Spawn(model, instance):
                models[instance] = model
                order.append(model)
                todo += scheduler.instance_ready(instance, 1, 3.0)
            case Assign(job, instance):
                todo += scheduler.finish(instance, job, 4.0)
            case Drain(instance):
                todo += scheduler.instance_reaped(models[instance], instance, 4.0)
    assert order == names
