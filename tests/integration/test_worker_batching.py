"""A real worker process with a batching engine: several jobs through one socket."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infsup.protocol.wire import Kind, Packet, unpack_map

from .llama_harness import TINY
from .worker_harness import LAST_KINDS, FakeSupervisor, fake_supervisor

pytestmark = pytest.mark.llama


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[FakeSupervisor]:
    with fake_supervisor(tmp_path) as made:
        loaded = made.start(engine="llama-cpp", file=str(TINY), parallel=4, defaults={"temperature": 0})
        assert loaded.capacity == 4
        yield made


def finish(supervisor: FakeSupervisor, *job_ids: str) -> dict[str, list[Packet]]:
    """Return what was said of each job, its last word at the end."""
    said: dict[str, list[Packet]] = {job_id: [] for job_id in job_ids}

    def ended() -> bool:
        for packet in supervisor.foreign:
            said[packet.key].append(packet)
        supervisor.foreign.clear()
        return all(packets and packets[-1].kind in LAST_KINDS for packets in said.values())

    supervisor.wait_for(ended)
    return said


def test_worker_batching_streams_jobs_side_by_side(supervisor: FakeSupervisor) -> None:
    for name in "abcd":
        supervisor.run(name, f"Once {name}", max_tokens=40, ignore_eos=True)
    said = finish(supervisor, *"abcd")
    for packets in said.values():
        result = unpack_map(packets[-1].body)
        text = "".join(unpack_map(packet.body)["text"] for packet in packets[:-1])
        assert text == result["choices"][0]["text"]
        assert result["usage"]["completion_tokens"] == 40


def test_worker_batching_cancel_of_one_leaves_the_others(supervisor: FakeSupervisor) -> None:
    supervisor.run("long", "Once", max_tokens=1500, ignore_eos=True)
    supervisor.run("short", "Once", max_tokens=60, ignore_eos=True)
    supervisor.foreign.append(supervisor.wait(Kind.CHUNK, key="long"))
    supervisor.cancel("long")
    said = finish(supervisor, "long", "short")
    assert said["long"][-1].kind is Kind.CANCELLED
    assert unpack_map(said["short"][-1].body)["usage"]["completion_tokens"] == 60


def test_worker_batching_drained_finishes_what_runs(supervisor: FakeSupervisor) -> None:
    supervisor.run("a", "Once", max_tokens=50, ignore_eos=True)
    supervisor.foreign.append(supervisor.wait(Kind.CHUNK, key="a"))
    supervisor.send(Packet(Kind.DRAIN))
    supervisor.run("late", "Once")
    said = finish(supervisor, "a", "late")
    assert said["late"][-1].kind is Kind.BOUNCED
    assert said["a"][-1].kind is Kind.DONE
    assert supervisor.exit_status() == 0
