"""The scheduler as a state machine: whatever happens, no job is lost or run twice, and no limit is exceeded."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from infsup.supervisor.decisions import Assign, Decision, Drain, ModelLimits, QueueIsFull, Spawn
from infsup.supervisor.room import Gpu, Needs, Share
from infsup.supervisor.scheduler import Scheduler

TOTAL = Share(memory=100, gpu=1)
MODELS = {
    "one": ModelLimits("one", ttl=5.0, max_queue=4),
    "two": ModelLimits("two", min_instances=1, max_instances=3, ttl=0.0, max_queue=4),
    "par": ModelLimits("par", max_instances=2, parallel=2, ttl=-1.0, max_queue=4, needs=Needs(memory=20)),
    "big": ModelLimits("big", ttl=-1.0, max_queue=4, needs=Needs(memory=70)),
    "gpu": ModelLimits("gpu", ttl=-1.0, max_queue=4, needs=Needs(memory=30, gpu=Gpu.MUST)),
    "gpu2": ModelLimits("gpu2", ttl=-1.0, max_queue=4, needs=Needs(memory=10, gpu=Gpu.MUST)),
    "auto": ModelLimits("auto", max_instances=2, ttl=4.0, max_queue=4, needs=Needs(memory=5, gpu=Gpu.AUTO)),
}


class SchedulerMachine(RuleBasedStateMachine):
    """Drives a scheduler and keeps its own book of what is where."""

    @initialize(concurrency=st.sampled_from([0, 1, 3]))
    def start(self, concurrency: int) -> None:
        self.scheduler = Scheduler(concurrency, total=TOTAL, swap_patience=2.0)
        self.now = 0.0
        self.count = 0
        self.waiting: dict[str, str] = {}
        self.running: dict[str, str] = {}
        self.loading: dict[str, str] = {}
        self.ready: dict[str, str] = {}
        self.leaving: dict[str, str] = {}
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
                case Drain(instance, reason):
                    busy = [job for job, where in self.running.items() if where == instance]
                    assert not busy or reason == "recycled", "drained a busy instance"
                    for job in busy:
                        self.finishing[job] = self.running.pop(job)
                    self.leaving[instance] = self.ready.pop(instance)

    @rule(
        model=st.sampled_from(sorted(MODELS)),
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
            self.carry_out(
                self.scheduler.submit(
                    model, job, self.now, client=client, priority=priority, prefix=prefix, keep_alive=keep_alive
                )
            )
        except QueueIsFull:
            del self.waiting[job]

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.running)))
        self.carry_out(self.scheduler.finish(self.running.pop(job), job, self.now))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.waiting)))
        assert self.scheduler.cancel(self.waiting.pop(job), job)

    @precondition(lambda self: self.loading)
    @rule(data=st.data())
    def load(self, data: st.DataObject) -> None:
        instance = data.draw(st.sampled_from(sorted(self.loading)))
        model = self.loading.pop(instance)
        self.ready[instance] = model
        self.carry_out(self.scheduler.instance_ready(instance, MODELS[model].parallel, self.now))

    @precondition(lambda self: self.loading or self.ready)
    @rule(data=st.data(), retry=st.booleans(), solo=st.booleans())
    def crash(self, data: st.DataObject, retry: bool, solo: bool) -> None:
        instance = data.draw(st.sampled_from(sorted({**self.loading, **self.ready})))
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

    @precondition(lambda self: self.ready)
    @rule(data=st.data())
    def recycle(self, data: st.DataObject) -> None:
        instance = data.draw(st.sampled_from(sorted(self.ready)))
        decisions = self.scheduler.recycle(instance, self.now)
        if any(isinstance(decision, Spawn) for decision in decisions):
            self.ever_recycled.add(self.ready[instance])
        self.carry_out(decisions)

    @precondition(lambda self: self.finishing)
    @rule(data=st.data())
    def finish_on_leaving(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.finishing)))
        self.carry_out(self.scheduler.finish(self.finishing.pop(job), job, self.now))

    @precondition(lambda self: self.leaving)
    @rule(data=st.data())
    def reap(self, data: st.DataObject) -> None:
        instance = data.draw(st.sampled_from(sorted(self.leaving)))
        self.carry_out(self.scheduler.instance_reaped(self.leaving.pop(instance), instance, self.now))

    @rule(seconds=st.floats(0.0, 20.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.carry_out(self.scheduler.due(self.now))
        due = self.scheduler.next_due(self.now)
        assert due is None or due > self.now

    @rule(model=st.sampled_from(sorted(MODELS)), seconds=st.floats(0.0, 5.0))
    def hold(self, model: str, seconds: float) -> None:
        self.scheduler.hold(model, self.now + seconds)
        self.now += seconds
        self.carry_out(self.scheduler.due(self.now))
        self.carry_out(self.scheduler.maintain(model, self.now))

    @invariant()
    def limits_hold(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        everywhere = [*self.loading.values(), *self.ready.values(), *self.leaving.values()]
        for name, limits in MODELS.items():
            # A replacement is loaded beside the one that it replaces.
            extra = 1 if self.recycled(name) else 0
            assert everywhere.count(name) <= limits.max_instances + extra
        there = {**self.loading, **self.ready, **self.leaving}
        assert sum(MODELS[model].needs.memory for model in there.values()) <= TOTAL.memory
        assert len(self.gpu.intersection(there)) <= TOTAL.gpu
        for instance, model in self.ready.items():
            jobs = [job for job, where in self.running.items() if where == instance]
            assert len(jobs) <= (1 if self.solo.intersection(jobs) else MODELS[model].parallel)
        busy = len(self.running) + len(self.finishing)
        assert self.scheduler.running == busy
        if self.scheduler.concurrency:
            assert busy <= self.scheduler.concurrency

    def recycled(self, name: str) -> bool:
        return name in self.ever_recycled

    @invariant()
    def books_agree(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        for name in MODELS:
            assert self.scheduler.waiting(name) == list(self.waiting.values()).count(name)

    @invariant()
    def work_is_never_left_lying(self) -> None:
        """A waiting job has a reason: the cap, every slot of its model busy, or an instance on its way."""
        if not hasattr(self, "scheduler") or (
            self.scheduler.concurrency and self.scheduler.running >= self.scheduler.concurrency
        ):
            return
        there = list({**self.loading, **self.ready, **self.leaving}.values())
        for name in set(self.waiting.values()):
            if name not in there:
                # It waits for room: then others have that room, or are about to give it back.
                assert there, "a job waits and nothing is on its way"
                continue
            slots = list(self.ready.values()).count(name) * MODELS[name].parallel
            busy = sum(self.ready[instance] == name for instance in self.running.values())
            alone = any(job in self.solo for job in (*self.waiting, *self.running))
            makes_room = busy and any(other != name for other in self.waiting.values())
            assert busy == slots or (alone and busy) or makes_room, "a job waits beside an idle slot"

    def teardown(self) -> None:
        """Everything that was taken ends once the machine is let run."""
        if not hasattr(self, "scheduler"):
            return
        for _ in range(10_000):
            if self.finishing:
                job, instance = self.finishing.popitem()
                self.carry_out(self.scheduler.finish(instance, job, self.now))
            elif self.leaving:
                instance, model = self.leaving.popitem()
                self.carry_out(self.scheduler.instance_reaped(model, instance, self.now))
            elif self.loading:
                instance, model = self.loading.popitem()
                self.ready[instance] = model
                self.carry_out(self.scheduler.instance_ready(instance, MODELS[model].parallel, self.now))
            elif self.running:
                job, instance = self.running.popitem()
                self.carry_out(self.scheduler.finish(instance, job, self.now))
            elif self.waiting and (due := self.scheduler.next_due(self.now)) is not None:
                self.now = due
                self.carry_out(self.scheduler.due(self.now))
            else:
                break
        assert not self.waiting, "a job was never run"


TestSchedulerMachine = SchedulerMachine.TestCase
TestSchedulerMachine.settings = settings(
    max_examples=300,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
