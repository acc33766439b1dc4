"""The observer itself: a server that breaks a promise must not get away with it."""

import asyncio
import json
import os
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from .attacks import AFTERMATH_S, Attack, causes_of
from .campaign import Campaign, Findings
from .client import Ending, Outcome, open_session, perform
from .landscape import BYSTANDER, MODELS, RENEWED, configuration
from .observer import Observer
from .plan import Request
from .processes import Footprint, Process, footprint, parent_of, processes_of
from .verdict import judge

CRASHED = {"message": "it died", "type": "server_error", "param": None, "code": "worker_crashed"}


def event(value: object) -> bytes:
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def piece(text: str, finish: str | None = None) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})


DONE = event(b"[DONE]")


def answer_with(lie: bytes, status: int = 200, kind: str = "text/event-stream") -> Outcome:
    """Ask a server that always answers with these bytes for the text 'one two'."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if kind == "text/event-stream":
            return web.Response(body=lie, status=status, headers={"Content-Type": kind})
        return web.Response(body=lie, status=status, content_type=kind)

    return asyncio.run(_ask(answer))


async def _ask(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Outcome:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with open_session(f"http://{host}:{port}") as session:
            return await perform(session, Request("m", "one two", "one two"))
    finally:
        await runner.cleanup()


def test_client_honest_stream_is_a_success() -> None:
    outcome = answer_with(piece("one") + piece(" two") + piece("", "stop") + DONE)
    assert (outcome.ending, outcome.problem) == (Ending.SUCCESS, "")


def test_client_typed_error_after_a_part_is_an_error_without_blame() -> None:
    outcome = answer_with(piece("one") + event({"error": CRASHED}))
    assert (outcome.ending, outcome.code, outcome.problem) == (Ending.ERROR, "worker_crashed", "")


@pytest.mark.parametrize(
    "lie",
    [
        piece("three four") + piece("", "stop") + DONE,
        piece("one") + piece("", "stop") + DONE,
        piece("one two"),
        piece("one two") + DONE,
        piece("one two") + piece("", "stop"),
        piece("one two") + piece("", "stop") + DONE + DONE,
        piece("one two") + piece("", "stop") + DONE + event({"error": CRASHED}),
        piece("one") + event({"error": CRASHED}) + DONE,
        piece("three") + event({"error": CRASHED}),
        event({"error": {**CRASHED, "code": "oops"}}),
        event({"error": {**CRASHED, "type": "rate_limit_error"}}),
        event({"error": "text"}),
        event(b"{"),
        event({"choices": []}),
    ],
)
def test_client_stream_that_breaks_a_promise_is_blamed(lie: bytes) -> None:
    assert answer_with(lie).problem


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": CRASHED}, 500),
        ({"error": {**CRASHED, "code": "queue_full", "type": "rate_limit_error"}}, 429),
        ({"detail": "Internal Server Error"}, 500),
        ({"choices": [{"message": {"content": "three"}, "finish_reason": "stop"}]}, 200),
        ({"choices": [{"message": {"content": "one two"}, "finish_reason": "length"}]}, 200),
        ({"choices": []}, 200),
    ],
)
def test_client_body_that_breaks_a_promise_is_blamed(body: object, status: int) -> None:
    assert answer_with(json.dumps(body).encode(), status, "application/json").problem


def findings(*outcomes: Outcome, kills: tuple[float, ...] = (), after: Footprint | None = None) -> Findings:
    quiet = Footprint(30, 40_000_000)
    return Findings(Campaign(), outcomes=list(outcomes), gateway_kills=list(kills), before=quiet, after=after or quiet)


def ended(ending: Ending, code: str = "", model: str = "single", timeout_s: float | None = None) -> Outcome:
    return Outcome(Request(model, "x", "x", timeout_s=timeout_s), 10.0, 12.0, ending, code)


def test_judge_what_faults_may_cause_is_no_problem() -> None:
    assert judge(findings(ended(Ending.SUCCESS), ended(Ending.ERROR, "worker_crashed"))) == []
    assert judge(findings(ended(Ending.ERROR, "deadline_exceeded", timeout_s=1.0))) == []
    assert judge(findings(ended(Ending.DROPPED), kills=(11.0,))) == []


@pytest.mark.parametrize(
    "found",
    [
        findings(ended(Ending.ERROR, "worker_crashed", BYSTANDER)),
        findings(ended(Ending.ERROR, "worker_crashed", RENEWED)),
        findings(ended(Ending.ERROR, "cancelled")),
        findings(ended(Ending.ERROR, "deadline_exceeded")),
        findings(ended(Ending.ERROR, "slow_consumer")),
        findings(ended(Ending.DROPPED), kills=(13.0,)),
        findings(after=Footprint(60, 40_000_000)),
        findings(after=Footprint(30, 90_000_000)),
        Findings(Campaign()),
    ],
)
def test_judge_what_nothing_explains_is_a_problem(found: Findings) -> None:
    assert len(judge(found)) == 1


def died(model: str, at: float) -> dict[str, object]:
    return {"instance": f"{model}-1", "model": model, "cause": "stalled: no beat for 4.2 s", "at": at}


def test_judge_death_that_a_fault_explains_is_no_problem() -> None:
    found = findings()
    found.attacks = [Attack("single", 100.0, 110.0)]
    found.deaths = [died("single", 100.5), died("single", 110.0 + AFTERMATH_S), died("mute", 5.0)]
    assert judge(found) == []
    assert causes_of(found.deaths) == {"stalled: no beat for … s": 3}


@pytest.mark.parametrize(("model", "at"), [("pair", 105.0), ("single", 99.0), ("single", 111.0 + AFTERMATH_S)])
def test_judge_death_without_a_fault_is_a_problem(model: str, at: float) -> None:
    found = findings()
    found.attacks = [Attack("single", 100.0, 110.0)]
    found.deaths = [died(model, at)]
    assert len(judge(found)) == 1


def test_configuration_editions_differ_in_one_model_only(tmp_path: Path) -> None:
    before, after = (tomllib.loads(configuration(tmp_path, edition))["models"] for edition in (0, 7))
    assert [name for name in before if before[name] != after[name]] == [RENEWED]
    assert set(before) == set(after) == {model.name for model in MODELS}


SUPERVISOR = Process(10, 1, "S", tagged=True)
WORKER = Process(11, 10, "S", tagged=True)


def blamed(*looks: list[Process]) -> set[str]:
    """Return what an observer says who looks every 3 s."""

    async def look() -> set[str]:
        async with open_session("http://127.0.0.1:1") as session:
            observer = Observer(session, SUPERVISOR.pid, Path("/nowhere"), "tag")
            for number, found in enumerate(looks):
                observer.see_processes(found, 3.0 * number)
            return observer.problems

    return asyncio.run(look())


def test_observer_healthy_processes_and_a_short_zombie_are_no_problem() -> None:
    zombie = Process(11, 10, "Z", tagged=False)
    assert blamed([SUPERVISOR, WORKER], [SUPERVISOR, zombie], [SUPERVISOR]) == set()


def test_observer_zombie_of_a_stopped_supervisor_is_no_problem() -> None:
    stopped, zombie = Process(10, 1, "T", tagged=True), Process(11, 10, "Z", tagged=False)
    assert blamed(*[[stopped, zombie]] * 5) == set()


@pytest.mark.parametrize(
    "looks",
    [
        [[SUPERVISOR, Process(11, 10, "Z", tagged=False)]] * 3,
        [[SUPERVISOR, Process(11, 1, "S", tagged=True)]],
        [[Process(10, 1, "Z", tagged=False)]],
        [[WORKER]],
    ],
)
def test_observer_zombie_orphan_and_dead_supervisor_are_problems(looks: list[list[Process]]) -> None:
    assert len(blamed(*looks)) == 1


def seen(*instances: tuple[str, str]) -> set[str]:
    """Return what an observer says of instances, each a model and its device."""

    async def look() -> set[str]:
        async with open_session("http://127.0.0.1:1") as session:
            observer = Observer(session, SUPERVISOR.pid, Path("/nowhere"), "tag")
            facts = {
                f"{model}-{number}": {"model": model, "device": device, "pid": number}
                for number, (model, device) in enumerate(instances)
            }
            observer.see_instances(facts, {model.name: model.instances for model in MODELS})
            return observer.problems

    return asyncio.run(look())


def test_observer_one_holder_of_the_gpu_slot_is_no_problem() -> None:
    assert seen(("gpu-a", "gpu"), ("gpu-auto", "cpu"), ("pair", "cpu"), ("pair", "cpu")) == set()


@pytest.mark.parametrize(
    "instances",
    [
        [("gpu-a", "gpu"), ("gpu-b", "gpu")],
        [("gpu-a", "cpu")],
        [("single", "gpu")],
        [("single", "cpu"), ("single", "cpu")],
        [(BYSTANDER, "cpu"), (BYSTANDER, "cpu")],
    ],
)
def test_observer_two_holders_wrong_devices_and_too_many_instances_are_problems(
    instances: list[tuple[str, str]],
) -> None:
    assert seen(*instances)


def test_processes_of_this_one_are_seen() -> None:
    assert parent_of(os.getpid()) == os.getppid()
    assert os.getpid() in [process.pid for process in processes_of("no such tag", os.getppid())]
    assert footprint(os.getpid()).rss_anon > 0
