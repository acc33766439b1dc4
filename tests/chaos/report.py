"""A run as markdown: what was done, what came of it, how long recovery took."""

import os
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from .attacks import causes_of
from .campaign import CLIENTS, Findings
from .client import Ending
from .plan import Fault
from .verdict import GROWTH_BYTES, GROWTH_DESCRIPTORS, judge


def write_report(findings: Findings, command: str, began: str, seconds: float) -> str:
    """Return the report; `began` is a date and time, `seconds` how long the whole run took."""
    campaign, problems = findings.campaign, judge(findings)
    lines = [
        (
            f"Command: `{command}`; {began}, {seconds / 60:.1f} minutes in all; seed {campaign.seed}, {CLIENTS} "
            f"clients, a fault every {campaign.fault_every_s:g} s on average for {campaign.seconds / 60:g} minutes."
        ),
        f"Machine: {machine()}.",
        "",
        *_totals(findings, problems),
        "",
        *_faults(findings),
        "",
        *_table(("death of a worker as the server tells it", "times"), causes_of(findings.deaths).most_common()),
        "",
        *_requests(findings),
    ]
    if problems:
        lines += ["", "Broken promises:", "", *(f"- {problem}" for problem in problems)]
    return "\n".join(lines) + "\n"


def machine() -> str:
    """Describe where this runs."""
    cpu = next(
        (line.split(": ")[1] for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines() if "model name" in line),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{cpu}, {cores} cores, {memory:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of them do not exceed: one of the values, no interpolation."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _totals(findings: Findings, problems: Sequence[str]) -> list[str]:
    outcomes = findings.outcomes
    endings = Counter(outcome.ending for outcome in outcomes)
    codes = Counter(outcome.code for outcome in outcomes if outcome.ending is Ending.ERROR)
    recoveries = [recovery.seconds for recovery in findings.recoveries]
    lost = endings[Ending.HUNG] + sum(
        bool(outcome.problem) for outcome in outcomes if outcome.ending is not Ending.HUNG
    )
    rows: list[tuple[str, object]] = [
        ("faults injected", len(findings.recoveries)),
        ("planned, but nothing was there to strike", len(findings.missed)),
        ("requests", len(outcomes)),
        ("successes", endings[Ending.SUCCESS]),
        ("typed errors", endings[Ending.ERROR]),
        *((f"– {code}", count) for code, count in codes.most_common()),
        ("left by their clients", endings[Ending.LEFT]),
        ("open at a SIGKILL of the gateway", endings[Ending.DROPPED]),
        ("**lost** (no end, two ends, another's text, an untyped error)", lost),
        ("broken promises of any kind", len(problems)),
    ]
    if recoveries:
        rows.append(("recovery p50 / p99", f"{percentile(recoveries, 0.5):.2f} / {percentile(recoveries, 0.99):.2f} s"))
    if findings.before and findings.after:
        before, after = findings.before, findings.after
        rows += [
            (
                f"descriptors of the supervisor, before / after (tolerance {GROWTH_DESCRIPTORS})",
                f"{before.descriptors} / {after.descriptors}",
            ),
            (
                f"RssAnon of the supervisor, before / after (tolerance {GROWTH_BYTES / 1e6:g} MB)",
                f"{before.rss_anon / 1e6:.1f} / {after.rss_anon / 1e6:.1f} MB",
            ),
        ]
    return _table(("", ""), rows)


def _faults(findings: Findings) -> list[str]:
    rows: list[tuple[object, ...]] = []
    for fault in Fault:
        times = [recovery.seconds for recovery in findings.recoveries if recovery.fault is fault]
        if times:
            figures = (f"{percentile(times, share):.2f}" for share in (0.5, 0.99))
            rows.append((fault.value, len(times), *figures, f"{max(times):.2f}"))
    return _table(("fault", "injected", "recovery p50, s", "p99, s", "longest, s"), rows)


def _requests(findings: Findings) -> list[str]:
    counts = Counter((outcome.request.model, outcome.ending) for outcome in findings.outcomes)
    manners = Counter(outcome.request.manner.value for outcome in findings.outcomes)
    models = sorted({model for model, _ in counts})
    endings = [ending for ending in Ending if any(counts[model, ending] for model in models)]
    rows = [(model, *(counts[model, ending] for ending in endings)) for model in models]
    return [
        *_table(("model", *endings), rows),
        "",
        *_table(("client", "requests"), manners.most_common()),
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(map(str, line))} |" for line in lines]
