"""Faults of every kind for half a minute and more, under load: nothing is lost, nothing is left."""

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from .campaign import Campaign, run_campaign
from .plan import FAULTS, injections, requests
from .report import write_report
from .verdict import judge, never_served


def test_plan_of_a_seed_is_always_the_same() -> None:
    assert injections(7, 60, 2) == injections(7, 60, 2) != injections(8, 60, 2)
    assert list(islice(requests(7, 3), 50)) == list(islice(requests(7, 3), 50))


def test_plan_has_every_fault_before_it_repeats_one() -> None:
    plan = injections(7, 90, 1)
    counts = Counter(injection.fault for injection in plan)
    assert set(counts) == set(FAULTS)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert [injection.at for injection in plan] == sorted(injection.at for injection in plan)


@pytest.mark.timeout(180)
def test_server_under_faults_breaks_no_promise(tmp_path: Path) -> None:
    findings = run_campaign(Campaign(), tmp_path)
    print(write_report(findings, "pytest tests/chaos", "now", 0))
    problems = judge(findings)
    if problems:
        print((tmp_path / "server.log").read_text(encoding="utf-8", errors="replace")[-20000:])
    assert problems == []
    assert never_served(findings) == []
    assert len({recovery.fault for recovery in findings.recoveries}) >= len(FAULTS) - 3
