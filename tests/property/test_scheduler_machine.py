"""The scheduler as a state machine: whatever happens, no job is lost or run twice, and no limit is exceeded.

The machine is a supervisor without processes: it carries out what is decided, keeps its own book of what is where, and
holds the scheduler's answers against it. 2,100 runs in three parts, one for each cap on concurrent jobs.
"""

from collections import Counter
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from infsup.supervisor.decisions import Assign, Decision, Drain, ModelLimits, QueueIsFull, Spawn
from infsup.supervisor.room import Gpu, Needs, Share
from infsup.supervisor.scheduler import Scheduler

pytestmark = pytest.mark.timeout(600)  # 15 s of CPU each, but a busy machine may take its time
TOTAL = Share(memory=100, gpu=1)
MODELS = {
    "one": ModelLimits("one", ttl=5.0, max_queue=4),
    "two": ModelLimits("two", min_instances=1, max_instances=3, ttl=0.0, max_queue=4),
    "par": ModelLimits("par", max_instances=2, parallel=2, ttl=-1.0, max_queue=4, needs=Needs(memory=20)),
    "big": ModelLimits("big", ttl=-1.0, max_queue=0, needs=Needs(memory=70)),
    "gpu": ModelLimits("gpu", ttl=-1.0, max_queue=4, needs=Needs(memory=30, gpu=Gpu.MUST)),
    "gpu2": ModelLimits("gpu2", ttl=9.0, max_queue=4, needs=Needs(memory=10, gpu=Gpu.MUST)),
    "auto": ModelLimits("auto", max_instances=2, ttl=4.0, max_queue=4, needs=Needs(memory=5, gpu=Gpu.AUTO)),
}
NAMES = sorted(MODELS)


class SchedulerMachine(RuleBasedStateMachine):
    """Drives a scheduler and keeps its own book of what is where."""

    concurrency: ClassVar[int] = 0

    @initialize()
    def start(self) -> None:
        self.scheduler = Scheduler(self.concurrency, total=TOTAL, swap_patience=2.0)
        self.now = 0.0
        self.count = 0
        self.waiting: dict[str, str] = {}
        self.running: dict[str, str] = {}
        self.loading: dict[str, str] = {}
        self.ready: dict[str, str] = {}
        self.leaving: dict[str, str] = {}
        self.asked: set[str] = set()
        self.solo: set[str] = set()
        self.gpu: set[str] = set()
        self.finishing: dict[str, str] = {}
        self.ever_recycled: set[str] = set()
        for limits in MODELS.values():
            self.scheduler.set_model(limits)
            self.carry_out(self.scheduler.maintain(limits.name, self.now))

    def carry_out(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            match decision:
                case Assign(job, instance):
                    assert job in self.waiting, "assigned a job that does not wait"
                    assert instance in self.ready, "assigned to an instance that is not ready"
                    assert self.waiting.pop(job) == self.ready[instance]
                    self.running[job] = instance
                case Spawn(model, instance, gpu):
                    if gpu:
                        self.gpu.add(instance)
                    assert gpu or MODELS[model].needs.gpu is not Gpu.MUST
                    assert instance not in {**self.loading, **self.ready, **self.leaving}
                    self.loading[instance] = model
                    self.asked.discard(model)
                case Drain(instance, reason):
                    busy = [job for job, where in self.running.items() if where == instance]
                    assert not busy or reason == "recycled", "drained a busy instance"
                    for job in busy:
                        self.finishing[job] = self.running.pop(job)
                    self.leaving[instance] = self.ready.pop(instance)

    # What clients do

    @rule(
        model=st.sampled_from(NAMES),
        client=st.sampled_from("xyz"),
        priority=st.integers(-2, 2),
        prefix=st.sampled_from([(), (b"a",), (b"a", b"b"), (b"c",)]),
        keep_alive=st.sampled_from([None, None, 0.0, 3.0]),
    )
    def submit(
        self, model: str, client: str, priority: int, prefix: tuple[bytes, ...], keep_alive: float | None
    ) -> None:
        self.count += 1
        job = f"j{self.count}"
        self.waiting[job] = model
        try:
            decisions = self.scheduler.submit(
                model, job, self.now, client=client, priority=priority, prefix=prefix, keep_alive=keep_alive
            )
        except QueueIsFull:
            del self.waiting[job]
        else:
            self.carry_out(decisions)

    @precondition(lambda self: self.waiting)
    @rule(pick=st.integers(0, 99))
    def cancel(self, pick: int) -> None:
        job = choose(self.waiting, pick)
        self.carry_out(self.scheduler.cancel(self.waiting.pop(job), job, self.now))

    @rule(model=st.sampled_from(NAMES))
    def ask_for_instance(self, model: str) -> None:
        self.asked.add(model)
        self.carry_out(self.scheduler.load(model, self.now))

    # What workers do

    @precondition(lambda self: self.running)
    @rule(pick=st.integers(0, 99))
    def finish(self, pick: int) -> None:
        job = choose(self.running, pick)
        self.carry_out(self.scheduler.finish(self.running.pop(job), job, self.now))

    @precondition(lambda self: self.finishing)
    @rule(pick=st.integers(0, 99))
    def finish_on_leaving(self, pick: int) -> None:
        job = choose(self.finishing, pick)
        self.carry_out(self.scheduler.finish(self.finishing.pop(job), job, self.now))

    @precondition(lambda self: self.loading)
    @rule(pick=st.integers(0, 99), load_seconds=st.sampled_from([0.0, 0.5, 4.0]))
    def load(self, pick: int, load_seconds: float) -> None:
        instance = choose(self.loading, pick)
        self.become_ready(instance, load_seconds)

    def become_ready(self, instance: str, load_seconds: float) -> None:
        model = self.ready[instance] = self.loading.pop(instance)
        parallel = MODELS[model].parallel
        self.carry_out(self.scheduler.instance_ready(instance, parallel, self.now, load_seconds=load_seconds))

    @precondition(lambda self: self.loading or self.ready)
    @rule(pick=st.integers(0, 99), retry=st.booleans(), solo=st.booleans(), outage=st.booleans())
    def crash(self, pick: int, retry: bool, solo: bool, outage: bool) -> None:
        instance = choose({**self.loading, **self.ready}, pick)
        model = self.loading.pop(instance, "") or self.ready.pop(instance)
        lost = [job for job, where in self.running.items() if where == instance]
        self.carry_out(self.scheduler.instance_gone(instance, self.now))
        for job in lost:
            del self.running[job]
            if retry:
                self.waiting[job] = model
                if solo:
                    self.solo.add(job)
                self.carry_out(self.scheduler.requeue(job, self.now, solo=solo))
            else:
                self.carry_out(self.scheduler.finish(instance, job, self.now))
        self.leaving[instance] = model
        if outage:
            for job in self.scheduler.drain_queue(model):
                assert self.waiting.pop(job) == model
            self.reap_one(instance)

    @precondition(lambda self: self.ready)
    @rule(pick=st.integers(0, 99))
    def recycle(self, pick: int) -> None:
        instance = choose(self.ready, pick)
        decisions = self.scheduler.recycle(instance, self.now)
        if any(isinstance(decision, Spawn) for decision in decisions):
            self.ever_recycled.add(self.ready[instance])
        self.carry_out(decisions)

    @precondition(lambda self: self.leaving)
    @rule(pick=st.integers(0, 99))
    def reap(self, pick: int) -> None:
        self.reap_one(choose(self.leaving, pick))

    def reap_one(self, instance: str) -> None:
        self.carry_out(self.scheduler.instance_reaped(self.leaving.pop(instance), instance, self.now))

    # What time does

    @rule(seconds=st.floats(0.0, 20.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.come_due()

    @rule(model=st.sampled_from(NAMES), submit_first=st.booleans())
    def job_and_ttl_at_the_same_moment(self, model: str, submit_first: bool) -> None:
        due = self.scheduler.next_due(self.now)
        self.now = max(self.now, due or 0.0)
        idle = {slots.id for slots in self.scheduler.instances(model) if slots.ready and not slots.running}
        if submit_first:
            was_free = not self.concurrency or self.scheduler.running < self.concurrency
            self.submit(model, "x", 0, (), None)
            took = self.running.get(f"j{self.count}")
            assert took in idle or not idle or not was_free or self.waiting, "a job lost its idle instance to a timer"
        self.come_due()
        if not submit_first:
            self.submit(model, "x", 0, (), None)

    def come_due(self) -> None:
        self.carry_out(self.scheduler.due(self.now))
        due = self.scheduler.next_due(self.now)
        assert due is None or due > self.now
        for ends in self.ends():
            assert ends > self.now, "its TTL has passed"
            assert due is not None
            assert due <= ends, "nobody would look in time"

    def ends(self) -> list[float]:
        """When idle instances have to end, counted the slow way."""
        return [
            slots.idle_since + slots.ttl
            for name, limits in MODELS.items()
            if not self.scheduler.waiting(name) and list(self.ready.values()).count(name) > limits.min_instances
            for slots in self.scheduler.instances(name)
            if slots.ready and not slots.running and slots.ttl >= 0
        ]

    @rule(model=st.sampled_from(NAMES), seconds=st.floats(0.0, 5.0))
    def hold(self, model: str, seconds: float) -> None:
        self.scheduler.hold(model, self.now + seconds)
        self.now += seconds
        self.come_due()
        self.carry_out(self.scheduler.maintain(model, self.now))

    # What always holds

    @precondition(lambda self: hasattr(self, "scheduler"))
    @invariant()
    def limits_hold(self) -> None:
        there = {**self.loading, **self.ready, **self.leaving}
        count = Counter(there.values())
        for name, limits in MODELS.items():
            # A replacement is loaded beside the one that it replaces.
            assert count[name] <= limits.max_instances + (name in self.ever_recycled)
        assert sum(MODELS[model].needs.memory for model in there.values()) <= TOTAL.memory
        assert len(self.gpu.intersection(there)) <= TOTAL.gpu
        jobs_on: dict[str, list[str]] = {}
        for job, instance in self.running.items():
            jobs_on.setdefault(instance, []).append(job)
        for instance, jobs in jobs_on.items():
            assert len(jobs) <= (1 if self.solo.intersection(jobs) else MODELS[self.ready[instance]].parallel)
        busy = len(self.running) + len(self.finishing)
        assert self.scheduler.running == busy
        assert not self.concurrency or busy <= self.concurrency

    @precondition(lambda self: hasattr(self, "scheduler"))
    @invariant()
    def books_agree(self) -> None:
        waiting = Counter(self.waiting.values())
        there = {**self.loading, **self.ready, **self.leaving}
        for name in NAMES:
            assert self.scheduler.waiting(name) == waiting[name]
            mine = self.scheduler.instances(name)
            assert {slots.id for slots in mine} == {one for one in there if there[one] == name} - set(self.leaving)
            for slots in mine:
                assert slots.running == sum(where == slots.id for where in self.running.values())
        assert self.scheduler.room.free.memory == TOTAL.memory - sum(MODELS[one].needs.memory for one in there.values())
        assert self.scheduler.room.free.gpu == TOTAL.gpu - len(self.gpu.intersection(there))

    @precondition(lambda self: hasattr(self, "scheduler"))
    @invariant()
    def work_is_never_left_lying(self) -> None:
        """A waiting job has a reason: the cap, every slot of its model busy, or an instance on its way."""
        if self.concurrency and self.scheduler.running >= self.concurrency:
            return
        there = {**self.loading, **self.ready, **self.leaving}
        names = set(self.waiting.values())
        for name in names:
            if name not in there.values():
                assert there, "a job waits and nothing is on its way"
                assert len(names | self.asked) > 1 or not self.could_make_room(name), (
                    "a job waits beside those who could make room"
                )
                continue
            slots = list(self.ready.values()).count(name) * MODELS[name].parallel
            busy = sum(self.ready[instance] == name for instance in self.running.values())
            alone = any(job in self.solo for job in (*self.waiting, *self.running))
            makes_room = busy and len(names | self.asked) > 1
            assert busy == slots or (alone and busy) or makes_room, "a job waits beside an idle slot"

    def could_make_room(self, name: str) -> bool:
        """Whether the model lacks room that neither is free nor comes, and that idle instances have."""
        room, needs = self.scheduler.room, MODELS[name].needs
        needed = Share(needs.memory, int(needs.gpu is Gpu.MUST))
        idle = [
            slots
            for other, limits in MODELS.items()
            if other != name and not limits.min_instances
            for slots in self.scheduler.instances(other)
            if slots.ready and not slots.running
        ]
        available = room.free + room.coming
        for slots in idle:
            available = available + slots.share
        return available.covers(needed) and not (room.free + room.coming).covers(needed)

    def teardown(self) -> None:
        """Everything that was taken ends once the machine is let run."""
        if not hasattr(self, "scheduler"):
            return
        for _ in range(10_000):
            if self.finishing:
                job, instance = self.finishing.popitem()
                self.carry_out(self.scheduler.finish(instance, job, self.now))
            elif self.leaving:
                self.reap_one(next(iter(self.leaving)))
            elif self.loading:
                self.become_ready(next(iter(self.loading)), 0.0)
            elif self.running:
                job, instance = self.running.popitem()
                self.carry_out(self.scheduler.finish(instance, job, self.now))
            elif self.waiting and (due := self.scheduler.next_due(self.now)) is not None:
                self.now = due
                self.come_due()
            else:
                break
        assert not self.waiting, "a job was never run"


def choose(things: dict[str, str], pick: int) -> str:
    """Return one of them; cheaper than drawing from a list that changes."""
    return sorted(things)[pick % len(things)]


class OneAtATimeMachine(SchedulerMachine):
    """All models together run one job at a time."""

    concurrency = 1


class ThreeAtATimeMachine(SchedulerMachine):
    """All models together run three jobs at a time."""

    concurrency = 3


RUNS = settings(
    max_examples=700,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
TestUncapped = SchedulerMachine.TestCase
TestUncapped.settings = RUNS
TestOneAtATime = OneAtATimeMachine.TestCase
TestOneAtATime.settings = RUNS
TestThreeAtATime = ThreeAtATimeMachine.TestCase
TestThreeAtATime.settings = RUNS
