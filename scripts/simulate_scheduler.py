"""What the scheduler's decisions cost: a busy machine on a virtual clock, with 10, 100 and 1,000 models.

Jobs arrive, run, crash and are cancelled; models load, swap and expire: all by a seeded plan, and all decided by the
real scheduler, which is pure. The calls that it got are written down and then replayed against fresh ones under the
process's CPU clock, so that what is measured is the scheduler and nothing of the simulation; a replay that decides
otherwise than the first time is an error. Other programs slow a processor down even for those that do not wait for it:
so the calls are timed in stretches, and the fastest of several replays of each stretch counts.

First everything fits into memory, so that the sizes differ in nothing but size; then there is memory for 50 instances,
and models swap. Decisions are the scheduler's orders (assign, spawn, drain); for one of them it is called some four
times, two of them to say when it is due next, as the supervisor asks after every event. The sizes differ in their mix
of decisions, a load costing more than a job; so the medians of single calls are shown too (`KINDS`).

    .venv/bin/python scripts/simulate_scheduler.py [--models 1000] [--jobs 100000] [--seed 1] [--json]
"""

import argparse
import contextlib
import gc
import json
import sys
import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from simulated_world import Call, Plan, Tally, World

KINDS = ("submit", "finish", "next_due")
STRETCH = 1000
"""Calls that are timed together: some 5 ms."""


@dataclass(frozen=True)
class Figures:
    """One size and what it cost, in CPU time. `room` is for how many instances there is memory, 0 = for all."""

    models: int
    room: int
    tally: Tally
    calls: int
    decisions_per_second: float
    us_per_decision: float
    us_medians: dict[str, float]


def make(bound: dict[str, Any], calls: list[Call]) -> int:
    """Make some calls again; return how many decisions come of them."""
    decisions = 0
    for call in calls:
        if call.refused is None:
            answer = bound[call.method](*call.args, **call.options)
            if answer.__class__ is list:
                decisions += len(answer)
        else:
            try:
                bound[call.method](*call.args, **call.options)
            except call.refused:
                continue
            raise AssertionError("the replay took a job that was refused the first time")
    return decisions


def replay(plan: Plan, world: World) -> list[float]:
    """Return the CPU seconds of each stretch of the calls."""
    scheduler = plan.scheduler()
    bound = {call.method: getattr(scheduler, call.method) for call in world.calls}
    stretches = [world.calls[start : start + STRETCH] for start in range(0, len(world.calls), STRETCH)]
    gc.collect()
    gc.freeze()  # the record is not the scheduler's: the collector is not to walk it
    decisions, seconds = 0, list[float]()
    for calls in stretches:
        began = time.process_time()
        decisions += make(bound, calls)
        seconds.append(time.process_time() - began)
    gc.unfreeze()
    if decisions != world.tally.decisions:
        raise AssertionError(f"{decisions} decisions instead of {world.tally.decisions}")
    return seconds


def medians(plan: Plan, world: World) -> dict[str, float]:
    """Return the median µs of a call of each of `KINDS`, calls being timed one by one."""
    scheduler = plan.scheduler()
    spent: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for call in world.calls:
        method = getattr(scheduler, call.method)
        began = time.perf_counter_ns()
        with contextlib.suppress(*(() if call.refused is None else (call.refused,))):
            method(*call.args, **call.options)
        if call.method in spent:
            spent[call.method].append(time.perf_counter_ns() - began)
    return {kind: median(times) / 1e3 for kind, times in spent.items()}


def measure(plan: Plan, repeats: int) -> Figures:
    print(f"{plan.models:,} models, room for {plan.room or 'all'}, {plan.jobs:,} jobs ...", file=sys.stderr)
    world = World(plan)
    world.run()
    seconds = sum(map(min, zip(*(replay(plan, world) for _ in range(repeats)), strict=True)))
    singles = [medians(plan, world) for _ in range(repeats)]
    decisions, calls = world.tally.decisions, len(world.calls)
    return Figures(
        models=plan.models,
        room=plan.room,
        tally=world.tally,
        calls=calls,
        decisions_per_second=decisions / seconds,
        us_per_decision=seconds / decisions * 1e6,
        us_medians={kind: min(one[kind] for one in singles) for kind in KINDS},
    )


def table(figures: list[Figures]) -> str:
    columns = ["models", "memory for", "jobs", "refused", "loads", "swaps", "TTL ends", "crashes", "calls", "decisions"]
    columns += ["decisions/s", "µs a decision", "ratio", *(f"{kind}, µs | ratio" for kind in KINDS)]
    lines = [f"| {' | '.join(columns)} |", "| --- " * (len(columns) + len(KINDS)) + "|"]
    base = figures[0]
    for one in figures:
        tally = one.tally
        counts = [tally.submitted, tally.refused, tally.spawned, tally.swapped, tally.expired, tally.crashed, one.calls]
        counts += [tally.decisions, round(one.decisions_per_second)]
        cells = [f"{one.models:,}", f"{one.room or 'all'}", *(f"{count:,}" for count in counts)]
        cells += [f"{one.us_per_decision:.1f}", f"{one.us_per_decision / base.us_per_decision:.2f}"]
        for kind, spent in one.us_medians.items():
            cells += [f"{spent:.1f}", f"{spent / base.us_medians[kind]:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=1000, help="the largest size; a tenth and a hundredth come too")
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--room", type=int, default=50, help="memory for so many instances where models swap")
    parser.add_argument("--concurrency", type=int, default=0, help="jobs at once over all models, 0 = no cap")
    parser.add_argument("--repeats", type=int, default=3, help="replays of each size")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sizes = sorted({max(2, options.models // 100), max(2, options.models // 10), max(2, options.models)})
    figures = [
        measure(Plan(models, options.jobs, options.seed, room, options.concurrency), options.repeats)
        for room in (0, options.room)
        for models in sizes
        if not room or models > room
    ]
    print(json.dumps([asdict(one) for one in figures], indent=2) if options.json else table(figures))


if __name__ == "__main__":
    main()
