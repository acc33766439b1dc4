"""Jobs that ask for jobs: a custom engine in a real server, and everything that could make it wait for ever."""

import asyncio
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import openai
import pytest

from infsup.protocol.client import Client, JobHandle
from infsup.protocol.errors import InvalidRequest, WorkerCrashed
from infsup.protocol.messages import CancelledEvent, Queued

from .real_server import RealServer, serve, wait_for

ENGINES = Path(__file__).parent / "engines"
CONFIG = """
[pool]
gpu_slots = 1

[models.a]
task = "text-completion"
engine = "relay:Relay"
options = {{ meet = "{meet}" }}
beat_interval = 0.1
prefill_timeout = 1
stall_timeout = 1

[models.b]
task = "text-completion"
engine = "relay:Relay"
options = {{ meet = "{meet}" }}

[models.deep]
task = "text-completion"
engine = "relay:Relay"
options = {{ capacity = 16 }}

[models.on-gpu]
task = "text-completion"
engine = "relay:Relay"
device = {{ gpu = true }}

[models.also-on-gpu]
task = "text-completion"
engine = "fault"
device = {{ gpu = true }}

[models.fault]
task = "text-completion"
engine = "fault"
max_queue = 1
device = {{ gpu = false }}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    directory = tmp_path_factory.mktemp("nested")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ENGINES), os.environ.get("PYTHONPATH", "")]))
        with serve(CONFIG.format(meet=directory), directory) as server:
            yield server


def ask(server: RealServer, model: str, prompt: str) -> str:
    return server.client().completions.create(model=model, prompt=prompt, max_tokens=1000).choices[0].text


def refusal(server: RealServer, model: str, prompt: str) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as caught:
        ask(server, model, prompt)
    return caught.value


def busy(server: RealServer, model: str) -> list[int]:
    """Return the pids of the model's workers that have a job."""
    return [one["pid"] for one in server.instances(model).values() if one["jobs"]]


def meet(server: RealServer, name: str) -> None:
    """Wait until the job with this name is at its meeting place."""
    wait_for((server.directory / f"{name}.here").exists, 20, server.output)


def let_go(server: RealServer, name: str) -> None:
    (server.directory / f"{name}.go").touch()


def pending(server: RealServer) -> int:
    count: int = server.get("/")[1]["pool"]["pending"]
    return count


def test_nested_job_answers_whole_and_streamed(server: RealServer) -> None:
    assert ask(server, "a", ">b hello") == "hello"
    assert ask(server, "a", "~fault one two three") == "one two three"
    assert ask(server, "a", ">b ~fault far away") == "far away"
    assert not server.instances("a").popitem()[1]["cores"], "a custom engine leases no cores unless it asks"


def test_nested_job_that_takes_long_does_not_count_as_a_stall(server: RealServer) -> None:
    assert ask(server, "a", ">fault !after 1 !sleep 3") == "t0"


def test_nested_job_fails_with_the_error_of_its_child(server: RealServer) -> None:
    assert "no such luck" in refusal(server, "a", ">fault !error no such luck").message
    assert refusal(server, "a", ">nobody hello").code == "model_not_found"


def test_nested_job_needs_the_gpu_slot_of_its_parent_fails_at_once(server: RealServer) -> None:
    error = refusal(server, "on-gpu", ">also-on-gpu hello")
    assert (error.status_code, error.code) == (503, "model_unavailable")
    assert error.response.headers["x-should-retry"] == "false"
    assert "on-gpu-" in error.message
    # Neither has lost anything: the slot goes to and fro when nobody holds it in vain.
    assert ask(server, "also-on-gpu", "hello") == "hello"
    assert ask(server, "a", ">on-gpu >b hello") == "hello"
    assert ask(server, "a", ">also-on-gpu hello") == "hello"


def test_nested_job_needs_the_one_instance_of_its_parent_fails_at_once(server: RealServer) -> None:
    assert refusal(server, "a", ">a hello").code == "model_unavailable"
    assert refusal(server, "a", ">b >a hello").code == "model_unavailable"


def test_nested_jobs_nine_levels_deep_are_refused_eight_are_not(server: RealServer) -> None:
    assert ask(server, "deep", ">deep " * 8 + "hello") == "hello"
    error = refusal(server, "deep", ">deep " * 9 + "hello")
    assert (error.status_code, error.code, error.param) == (400, "invalid_request", "parent")


def test_nested_job_passes_a_full_queue_and_goes_first(server: RealServer) -> None:
    ended: list[str] = []

    def run(model: str, prompt: str, name: str) -> None:
        ask(server, model, prompt)
        ended.append(name)

    with ThreadPoolExecutor() as pool:
        jobs: list[Future[None]] = [pool.submit(run, "fault", "!sleep 3", "first")]
        wait_for(lambda: bool(busy(server, "fault")), 20, server.output)
        jobs.append(pool.submit(run, "fault", "!sleep 2", "waiting"))
        wait_for(lambda: pending(server) == 1, 20, server.output)
        assert refusal(server, "fault", "hello").code == "queue_full"
        jobs.append(pool.submit(run, "a", ">fault hello", "parent"))
        for job in jobs:
            job.result()
    assert ended == ["first", "parent", "waiting"]


def test_nested_jobs_that_wait_for_one_another_the_later_fails_at_once(server: RealServer) -> None:
    with ThreadPoolExecutor() as pool:
        one, two = pool.submit(ask, server, "a", "%one >b x"), pool.submit(ask, server, "b", "%two ?a y")
        meet(server, "one")
        meet(server, "two")
        let_go(server, "one")
        wait_for(lambda: pending(server) == 1, 20, server.output)
        let_go(server, "two")
        assert two.result().startswith("model_unavailable")
        assert one.result() == "x"


def test_nested_job_ends_with_its_cancelled_parent(server: RealServer) -> None:
    async def scenario() -> None:
        async with Client(server.runtime) as client:
            parent = await client.submit("a", "text-completion", {"prompt": ">b >fault !sleep 60"})
            pids = await _when_busy(server, "fault")
            parent.cancel()
            events = [event async for event in parent]
            assert isinstance(events[-1], CancelledEvent)
            await asyncio.to_thread(wait_for, lambda: not busy(server, "fault"), 20, server.output)
            assert [one["pid"] for one in server.instances("fault").values()] == pids, "nobody had to be killed"

    asyncio.run(scenario())
    assert ask(server, "a", ">b >fault hello") == "hello"


def test_nested_job_ends_with_its_parents_worker_and_the_parent_is_not_retried(server: RealServer) -> None:
    async def scenario() -> None:
        async with Client(server.runtime) as client:
            parent = await client.submit("a", "text-completion", {"prompt": ">fault !sleep 60"}, stream=False)
            await _when_busy(server, "fault")
            os.kill(busy(server, "a")[0], signal.SIGKILL)
            with pytest.raises(WorkerCrashed):
                await parent.result()
            await asyncio.to_thread(wait_for, lambda: not busy(server, "fault"), 20, server.output)

    asyncio.run(scenario())
    assert ask(server, "a", ">fault hello") == "hello"


def test_nested_job_waits_at_most_as_long_as_its_parent(server: RealServer) -> None:
    async def scenario() -> None:
        async with Client(server.runtime) as client:
            parent = await client.submit("a", "text-completion", {"prompt": ">fault !sleep 60"}, timeout=1.0)
            events = [event async for event in parent]
            assert getattr(events[-1], "error").code == "deadline_exceeded"  # noqa: B009 - of any event
            await asyncio.to_thread(wait_for, lambda: not busy(server, "fault"), 20, server.output)

    asyncio.run(scenario())


def test_parent_nobody_knows_is_refused(server: RealServer) -> None:
    async def scenario() -> None:
        async with Client(server.runtime) as client:
            with pytest.raises(InvalidRequest) as caught:
                await client.run("b", "text-completion", {"prompt": "hello"}, parent="0" * 32)
            assert caught.value.param == "parent"

    asyncio.run(scenario())


def test_waiting_jobs_are_told_when_their_position_changes(server: RealServer) -> None:
    async def positions(job: JobHandle) -> list[int]:
        return [event.position async for event in job if isinstance(event, Queued)]

    async def scenario() -> None:
        async with Client(server.runtime) as client:
            jobs = [await client.submit("b", "text-completion", {"prompt": f"%turn{n} x"}) for n in range(3)]
            for number in range(3):
                await asyncio.to_thread(meet, server, f"turn{number}")
                # The next one is told within a tick that it has moved up.
                if number < 2:
                    last = jobs[2]
                    await asyncio.to_thread(wait_for, lambda: last.position == 1 - number, 20, server.output)  # noqa: B023
                let_go(server, f"turn{number}")
            assert await positions(jobs[2]) == [1, 0]
            assert jobs[2].position is None

    asyncio.run(scenario())


async def _when_busy(server: RealServer, model: str) -> list[int]:
    await asyncio.to_thread(wait_for, lambda: bool(busy(server, model)), 20, server.output)
    return busy(server, model)
