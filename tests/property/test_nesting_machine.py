"""Jobs that wait for jobs of their own: nothing hangs, and nobody is given up who could have been served.

A job that has children ends only after them. So a world that is let run comes to its end, but for jobs that
`find_stuck` names; and a copy of the world in which such a job is left waiting must come to a stop with it.
"""

import copy
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from infsup.protocol.job import MAX_DEPTH
from infsup.supervisor.decisions import Assign, Decision, Drain, ModelLimits, QueueIsFull, Spawn
from infsup.supervisor.room import Gpu, Needs, Share
from infsup.supervisor.scheduler import Scheduler

TOTAL = Share(memory=100, gpu=1)
MODELS = {
    "free": ModelLimits("free", max_instances=2, max_queue=2),
    "one": ModelLimits("one", ttl=0.0, max_queue=2, needs=Needs(memory=30)),
    "pair": ModelLimits("pair", parallel=2, ttl=-1.0, max_queue=2, needs=Needs(memory=30)),
    "kept": ModelLimits("kept", min_instances=1, max_instances=2, ttl=0.0, max_queue=2, needs=Needs(memory=20)),
    "big": ModelLimits("big", ttl=-1.0, max_queue=2, needs=Needs(memory=70)),
    "gpu": ModelLimits("gpu", ttl=-1.0, max_queue=2, needs=Needs(memory=10, gpu=Gpu.MUST)),
    "gpu2": ModelLimits("gpu2", ttl=5.0, parallel=2, max_queue=2, needs=Needs(memory=10, gpu=Gpu.MUST)),
    "auto": ModelLimits("auto", ttl=5.0, max_queue=2, needs=Needs(memory=10, gpu=Gpu.AUTO)),
}


@dataclass
class World:
    """A scheduler and what surrounds it: where the jobs and instances are, and who waits for whom."""

    scheduler: Scheduler
    now: float = 0.0
    count: int = 0
    waiting: dict[str, str] = field(default_factory=dict[str, str])
    running: dict[str, str] = field(default_factory=dict[str, str])
    loading: dict[str, str] = field(default_factory=dict[str, str])
    ready: dict[str, str] = field(default_factory=dict[str, str])
    leaving: dict[str, str] = field(default_factory=dict[str, str])
    parents: dict[str, str] = field(default_factory=dict[str, str])
    had_children: set[str] = field(default_factory=set[str])

    def carry_out(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            match decision:
                case Assign(job, instance):
                    assert self.waiting.pop(job) == self.ready[instance]
                    self.running[job] = instance
                case Spawn(model, instance):
                    self.loading[instance] = model
                case Drain(instance):
                    self.leaving[instance] = self.ready.pop(instance)

    def submit(self, model: str, parent: str = "") -> None:
        self.count += 1
        job = f"j{self.count}"
        self.waiting[job] = model
        if parent:
            self.parents[job] = parent
            self.had_children.add(parent)
        try:
            self.carry_out(self.scheduler.submit(model, job, self.now, parent=parent))
        except QueueIsFull:
            assert not parent, "a nested job met a full queue"
            del self.waiting[job]

    def children(self, job: str) -> list[str]:
        return [child for child, parent in self.parents.items() if parent == job]

    def depth(self, job: str) -> int:
        return 1 + self.depth(self.parents[job]) if job in self.parents else 0

    def end(self, job: str) -> None:
        """End a job and all below it, as the dispatcher does."""
        for child in self.children(job):
            self.end(child)
        if (model := self.waiting.pop(job, "")) != "":
            self.carry_out(self.scheduler.cancel(model, job, self.now))
        else:
            self.carry_out(self.scheduler.finish(self.running.pop(job), job, self.now))
        self.parents.pop(job, None)

    def load(self, instance: str) -> None:
        model = self.ready[instance] = self.loading.pop(instance)
        self.carry_out(self.scheduler.instance_ready(instance, MODELS[model].parallel, self.now, load_seconds=0.5))

    def lose(self, instance: str) -> None:
        """An instance dies: its jobs run again unless they had children."""
        self.leaving[instance] = (
            self.loading.pop(instance, "") or self.ready.pop(instance, "") or self.leaving[instance]
        )
        self.carry_out(self.scheduler.instance_gone(instance, self.now))
        for job in [job for job, where in self.running.items() if where == instance]:
            if job not in self.running:
                continue  # it has ended with its parent
            if job in self.had_children:
                self.end(job)
            else:
                self.waiting[job] = self.leaving[instance]
                del self.running[job]
                self.carry_out(self.scheduler.requeue(job, self.now))
        self.reap(instance)

    def reap(self, instance: str) -> None:
        self.carry_out(self.scheduler.instance_reaped(self.leaving.pop(instance), instance, self.now))

    def give_up(self) -> list[str]:
        """Fail the jobs that are stuck. Returns them."""
        given_up: list[str] = []
        while (stuck := self.scheduler.find_stuck()) is not None:
            assert stuck.job in self.parents
            assert stuck.job in self.waiting
            assert stuck.job not in given_up
            assert repr(self.waiting[stuck.job]) in stuck.reason
            given_up.append(stuck.job)
            self.end(stuck.job)
        return given_up

    def run_out(self) -> None:
        """Let everything end that can by itself."""
        for _ in range(10_000):
            leaf = next((job for job in self.running if not self.children(job)), None)
            empty = next((one for one in self.leaving if one not in self.running.values()), None)
            if self.loading:
                self.load(next(iter(self.loading)))
            elif empty is not None:
                self.reap(empty)
            elif leaf is not None:
                self.end(leaf)
            elif self.waiting and (due := self.scheduler.next_due(self.now)) is not None:
                self.now = due
                self.carry_out(self.scheduler.due(self.now))
            else:
                return
        raise AssertionError("it never ends")


class NestingMachine(RuleBasedStateMachine):
    """Drives a world, and at the end lets it run out."""

    @initialize(concurrency=st.sampled_from([0, 0, 1]))
    def start(self, concurrency: int) -> None:
        self.world = World(Scheduler(concurrency, total=TOTAL, swap_patience=2.0))
        for limits in MODELS.values():
            self.world.scheduler.set_model(limits)
            self.world.carry_out(self.world.scheduler.maintain(limits.name, 0.0))

    def settle(self) -> None:
        """Whoever is given up would have waited for ever."""
        while (stuck := self.world.scheduler.find_stuck()) is not None:
            what_if = copy.deepcopy(self.world)
            what_if.run_out()
            assert stuck.job in what_if.waiting, "it could have been served"
            self.world.end(stuck.job)

    @rule(model=st.sampled_from(sorted(MODELS)))
    def submit(self, model: str) -> None:
        self.world.submit(model)

    @precondition(lambda self: self.world.running)
    @rule(data=st.data(), model=st.sampled_from(sorted(MODELS)))
    def submit_nested(self, data: st.DataObject, model: str) -> None:
        parent = data.draw(st.sampled_from(sorted(self.world.running)))
        if self.world.depth(parent) < MAX_DEPTH:
            self.world.submit(model, parent)
            self.settle()

    @precondition(lambda self: self.world.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        self.world.end(data.draw(st.sampled_from(sorted(self.world.running))))

    @precondition(lambda self: self.world.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.world.end(data.draw(st.sampled_from(sorted(self.world.waiting))))

    @precondition(lambda self: self.world.loading)
    @rule(data=st.data())
    def load(self, data: st.DataObject) -> None:
        self.world.load(data.draw(st.sampled_from(sorted(self.world.loading))))

    @precondition(lambda self: self.world.ready or self.world.loading or self.world.leaving)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        there = {**self.world.ready, **self.world.loading, **self.world.leaving}
        self.world.lose(data.draw(st.sampled_from(sorted(there))))

    @precondition(lambda self: self.world.ready)
    @rule(data=st.data())
    def recycle(self, data: st.DataObject) -> None:
        instance = data.draw(st.sampled_from(sorted(self.world.ready)))
        self.world.carry_out(self.world.scheduler.recycle(instance, self.world.now))

    @precondition(lambda self: bool(set(self.world.leaving).difference(self.world.running.values())))
    @rule(data=st.data())
    def reap(self, data: st.DataObject) -> None:
        ended = set(self.world.leaving).difference(self.world.running.values())
        self.world.reap(data.draw(st.sampled_from(sorted(ended))))

    @rule(seconds=st.floats(0.0, 10.0))
    def wait(self, seconds: float) -> None:
        self.world.now += seconds
        self.world.carry_out(self.world.scheduler.due(self.world.now))
        self.settle()

    @invariant()
    def limits_hold(self) -> None:
        if not hasattr(self, "world"):
            return
        world, cap = self.world, self.world.scheduler.concurrency
        assert len([job for job in world.running if job not in world.parents]) <= (cap or 10_000)
        for name in MODELS:
            assert world.scheduler.waiting(name) == list(world.waiting.values()).count(name)

    def teardown(self) -> None:
        """Nothing is left once the world has run out; the stuck are looked for as often as the supervisor does."""
        if not hasattr(self, "world"):
            return
        world = self.world
        for _ in range(1000):
            world.give_up()
            world.run_out()
            if not world.scheduler.find_stuck():
                break
        assert not world.waiting, "a job waits for ever"
        assert not world.running, "a job runs for ever"


TestNestingMachine = NestingMachine.TestCase
TestNestingMachine.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
