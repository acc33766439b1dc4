"""A machine with many models on a virtual clock, for `simulate_scheduler.py`: what asks the scheduler, and obeys it."""

import heapq
import random
from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from infsup.supervisor.decisions import Assign, Decision, Drain, ModelLimits, NeverFits, QueueIsFull, Spawn
from infsup.supervisor.room import Gpu, Needs, Share
from infsup.supervisor.scheduler import Scheduler

GIB = 2**30
POPULARITY = 1.2
"""The exponent of Zipf's law: the model of rank r gets a share of the jobs like 1 / r ** POPULARITY."""
POPULAR = 10
"""So many models may have several instances, which serve several jobs together."""
JOBS_PER_SECOND = 20.0
JOB_SECONDS = 1.0
REAP_SECONDS = 0.05
CRASHES_PER_JOB = 0.002
CANCELS_PER_JOB = 0.02
BACKOFF_SECONDS = 0.5
CLIENTS = 16


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the scheduler, to be made again. `refused` is what it raised."""

    method: str
    args: tuple[Any, ...]
    options: dict[str, Any]
    refused: type[Exception] | None = None


@dataclass
class Tally:
    """What has happened."""

    submitted: int = 0
    refused: int = 0
    finished: int = 0
    cancelled: int = 0
    spawned: int = 0
    swapped: int = 0
    expired: int = 0
    crashed: int = 0
    decisions: int = 0


@dataclass(frozen=True)
class Plan:
    """How many models and jobs, and the seed of everything else."""

    models: int
    jobs: int
    seed: int
    room: int = 0
    """How many instances of average size (1 GiB) the memory holds; 0 = all."""
    concurrency: int = 0

    def limits(self) -> list[ModelLimits]:
        """Return the models, the most popular first: of several sizes, some with a GPU, some with many slots."""
        chance = random.Random(f"models {self.seed}")
        return [
            ModelLimits(
                f"m{rank}",
                max_instances=4 if rank < POPULAR else 1,
                parallel=chance.choice((4, 8)) if rank < POPULAR else chance.choice((1, 1, 4)),
                max_queue=64,
                ttl=chance.choice((30.0, 300.0, 300.0, -1.0)) if rank else 0.0,
                needs=Needs(chance.choice((GIB // 2, GIB, GIB * 3 // 2)), self._gpu(rank)),
            )
            for rank in range(self.models)
        ]

    def _gpu(self, rank: int) -> Gpu:
        if 2 * rank >= self.models and rank % 5 == 0:
            return Gpu.MUST
        return Gpu.AUTO if rank % 5 == 1 else Gpu.NO

    def scheduler(self) -> Scheduler:
        """Return a scheduler that knows the models."""
        scheduler = Scheduler(self.concurrency, total=Share((self.room or 10**6) * GIB, gpu=1))
        for limits in self.limits():
            scheduler.set_model(limits)
        return scheduler


@dataclass(slots=True)
class Worker:
    """An instance as the world sees it."""

    id: str
    model: str
    jobs: set[str] = field(default_factory=set[str])
    loaded: bool = False
    draining: bool = False
    gone: bool = False


class World:
    """Carries out what the scheduler decides, with made-up workers, and tells it what becomes of it."""

    def __init__(self, plan: Plan) -> None:
        """Prepare the plan's models; `run` does the rest."""
        self.calls: list[Call] = []
        self.tally = Tally()
        self._plan = plan
        self._limits = {limits.name: limits for limits in plan.limits()}
        self._names = list(self._limits)
        self._zipf = list(accumulate(1.0 / (rank + 1) ** POPULARITY for rank in range(plan.models)))
        self._chance = random.Random(f"events {plan.seed}")
        self._load_seconds = {name: self._chance.lognormvariate(0.4, 0.6) for name in self._names}
        self._scheduler = plan.scheduler()
        self._now = 0.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._planned = 0
        self._timer = float("inf")
        self._workers: dict[str, Worker] = {}
        self._where: dict[str, str] = {}
        self._model_of: dict[str, str] = {}

    def run(self) -> None:
        """Go on until every job has come to its end."""
        self._at(0.0, self._arrive)
        while self._agenda and (self._model_of or self.tally.submitted < self._plan.jobs):
            self._now, _, action = heapq.heappop(self._agenda)
            action()
        if self._model_of:
            raise AssertionError(f"{len(self._model_of)} jobs were forgotten")

    def _at(self, seconds: float, action: Callable[[], None]) -> None:
        self._planned += 1
        heapq.heappush(self._agenda, (self._now + seconds, self._planned, action))

    def _ask(self, method: str, *args: Any, **options: Any) -> Any:
        refused: type[Exception] | None = None
        try:
            return getattr(self._scheduler, method)(*args, **options)
        except (QueueIsFull, NeverFits) as refusal:
            refused = type(refusal)
            raise
        finally:
            self.calls.append(Call(method, args, options, refused))

    # What clients do

    def _arrive(self) -> None:
        chance = self._chance
        self.tally.submitted += 1
        job = f"j{self.tally.submitted}"
        model = self._names[bisect(self._zipf, chance.random() * self._zipf[-1])]
        talk = chance.randrange(4)
        self._model_of[job] = model
        try:
            decisions = self._ask(
                "submit", model, job, self._now,
                client=f"c{chance.randrange(CLIENTS)}", priority=chance.choice((0, 0, 0, 2)),
                prefix=tuple(b"%d-%d" % (talk, turn) for turn in range(talk)),
            )  # fmt: skip
        except QueueIsFull:
            self.tally.refused += 1
            del self._model_of[job]
        else:
            self._carry_out(decisions)
            if chance.random() < CANCELS_PER_JOB:
                self._at(chance.expovariate(1.0), lambda: self._give_up(job))
        if self.tally.submitted < self._plan.jobs:
            self._at(chance.expovariate(JOBS_PER_SECOND), self._arrive)

    def _give_up(self, job: str) -> None:
        model = self._model_of.get(job)
        if model is None:
            return
        self.tally.cancelled += 1
        if job in self._where:
            self._finish(self._workers[self._where[job]], job)
        else:
            del self._model_of[job]
            self._carry_out(self._ask("cancel", model, job, self._now))

    # What workers do

    def _load(self, worker: Worker) -> None:
        if not worker.gone:
            worker.loaded = True
            self._carry_out(
                self._ask(
                    "instance_ready", worker.id, self._limits[worker.model].parallel, self._now,
                    load_seconds=self._load_seconds[worker.model],
                )
            )  # fmt: skip

    def _finish(self, worker: Worker, job: str) -> None:
        if job not in worker.jobs:
            return  # it was cancelled, or its worker has crashed
        worker.jobs.remove(job)
        del self._where[job], self._model_of[job]
        self.tally.finished += 1
        self._carry_out(self._ask("finish", worker.id, job, self._now))

    def _crash(self, worker: Worker) -> None:
        if worker.gone:
            return
        self.tally.crashed += 1
        worker.gone = True
        self._carry_out(self._ask("instance_gone", worker.id, self._now))
        self._ask("hold", worker.model, self._now + BACKOFF_SECONDS)
        self._at(BACKOFF_SECONDS, lambda: self._carry_out(self._ask("maintain", worker.model, self._now)))
        for job in sorted(worker.jobs):
            del self._where[job]
            self._carry_out(self._ask("requeue", job, self._now))
        worker.jobs.clear()
        self._at(REAP_SECONDS, lambda: self._reap(worker))

    def _reap(self, worker: Worker) -> None:
        del self._workers[worker.id]
        self._carry_out(self._ask("instance_reaped", worker.model, worker.id, self._now))

    # What the scheduler wants

    def _carry_out(self, decisions: list[Decision]) -> None:
        self.tally.decisions += len(decisions)
        for decision in decisions:
            match decision:
                case Assign(job, instance):
                    self._assign(job, self._workers[instance])
                case Spawn(model, instance):
                    self.tally.spawned += 1
                    worker = self._workers[instance] = Worker(instance, model)
                    self._at(self._load_seconds[model], lambda worker=worker: self._load(worker))
                case Drain(instance, reason):
                    self.tally.expired += reason == "ttl"
                    self.tally.swapped += reason.startswith("room")
                    self._workers[instance].gone = True
                    self._at(REAP_SECONDS, lambda worker=self._workers[instance]: self._reap(worker))
        due = self._ask("next_due", self._now)
        if due is not None and due < self._timer:
            self._timer = due
            self._at(due - self._now, lambda: self._due(due))

    def _assign(self, job: str, worker: Worker) -> None:
        worker.jobs.add(job)
        self._where[job] = worker.id
        if self._chance.random() < CRASHES_PER_JOB:
            self._at(self._chance.expovariate(1 / JOB_SECONDS), lambda: self._crash(worker))
        else:
            self._at(self._chance.expovariate(1 / JOB_SECONDS), lambda: self._finish(worker, job))

    def _due(self, planned: float) -> None:
        if planned == self._timer:
            self._timer = float("inf")
            self._carry_out(self._ask("due", self._now))
