"""A job's own client, without a supervisor: what it does while nobody answers."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infsup.protocol.runtime import jobs_endpoint, jobs_endpoint_beside, workers_endpoint
from infsup.workers.child_jobs import ChildJobs, JobsConnection
from infsup.workers.engine import JobCancelled, JobContext
from infsup.workers.progress import Progress


class Noticed(Progress):
    """Says when somebody waits."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = threading.Event()

    def begin_wait(self) -> None:
        super().begin_wait()
        self.waits.set()


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[JobsConnection]:
    connection = JobsConnection(jobs_endpoint(tmp_path))
    yield connection
    connection.close()


def test_jobs_endpoint_beside_is_that_of_the_same_directory(tmp_path: Path) -> None:
    assert jobs_endpoint_beside(workers_endpoint(tmp_path)) == jobs_endpoint(tmp_path)


@pytest.mark.parametrize("how", ["run", "stream"])
def test_child_jobs_cancelled_while_it_waits_raises_and_counts_as_progress(
    connection: JobsConnection, how: str
) -> None:
    progress = Noticed()
    context = JobContext(progress)
    jobs = ChildJobs(connection, "token", context, progress)
    progress.phase("decode")
    ended: list[type[BaseException]] = []

    def ask() -> None:
        try:
            if how == "run":
                jobs.run("m", "t", {})
            else:
                list(jobs.stream("m", "t", {}))
        except JobCancelled as error:
            ended.append(type(error))

    thread = threading.Thread(target=ask)
    thread.start()
    assert progress.waits.wait(5)
    context.cancel()
    thread.join(5)
    assert ended == [JobCancelled]
    assert progress.beat().phase == "decode"


def test_child_jobs_asked_after_the_cancel_raises(connection: JobsConnection) -> None:
    progress = Progress()
    context = JobContext(progress)
    jobs = ChildJobs(connection, "token", context, progress)
    context.cancel()
    with pytest.raises(JobCancelled):
        jobs.run("m", "t", {})


def test_jobs_connection_closed_is_not_opened_again(connection: JobsConnection) -> None:
    connection.close()
    with pytest.raises(RuntimeError):
        connection.open()


def test_job_context_outside_a_worker_has_no_client() -> None:
    with pytest.raises(RuntimeError):
        _ = JobContext(Progress()).client


def test_progress_phase_is_waiting_only_while_all_jobs_wait() -> None:
    progress = Progress()
    progress.phase("decode")
    progress.begin_wait()
    assert progress.beat(1).phase == "waiting"
    assert progress.beat(2).phase == "decode"
    progress.begin_wait()
    assert progress.beat(2).phase == "waiting"
    before = progress.beat(2).progress
    progress.end_wait()
    after = progress.beat(2)
    assert (after.phase, after.progress) == ("decode", before + 1)
    progress.end_wait()
    assert progress.beat(0).phase == "decode"
