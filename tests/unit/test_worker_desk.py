import threading

from infsup.protocol.job import Job
from infsup.workers.desk import Accepted, Desk
from infsup.workers.progress import Progress


def job(name: str) -> Job:
    return Job(name, "m", "text-completion")


def test_desk_gives_jobs_in_order_then_none_when_drained() -> None:
    desk = Desk(Progress())
    assert desk.accept(job("a")) is Accepted.YES
    assert desk.accept(job("b")) is Accepted.YES
    assert [ticket.job.id for ticket in (desk.take(), desk.take()) if ticket] == ["a", "b"]
    assert desk.drain() == []
    assert desk.take() is None
    assert desk.take() is None


def test_desk_draining_returns_waiting_jobs_and_takes_no_more() -> None:
    desk = Desk(Progress())
    for name in "abc":
        desk.accept(job(name))
    desk.take()
    assert desk.drain() == ["b", "c"]
    assert desk.accept(job("d")) is Accepted.DRAINING
    assert desk.take() is None


def test_desk_cancel_of_a_waiting_job_removes_it() -> None:
    desk = Desk(Progress())
    desk.accept(job("a"))
    desk.accept(job("b"))
    assert desk.cancel("a")
    ticket = desk.take()
    assert ticket is not None
    assert ticket.job.id == "b"


def test_desk_cancel_then_the_same_id_again_runs_once() -> None:
    desk = Desk(Progress())
    desk.accept(job("a"))
    desk.cancel("a")
    desk.accept(job("a"))
    assert desk.take() is not None
    desk.drain()
    assert desk.take() is None


def test_desk_cancel_of_a_running_job_calls_its_hook_once() -> None:
    desk = Desk(Progress())
    desk.accept(job("a"))
    ticket = desk.take()
    assert ticket is not None
    called: list[str] = []
    ticket.context.on_cancel(lambda: called.append("hook"))
    assert not desk.cancel("a")
    assert not desk.cancel("a")
    assert called == ["hook"]
    ticket.context.on_cancel(lambda: called.append("late"))
    assert called == ["hook", "late"]


def test_desk_cancel_of_an_unknown_job_does_nothing() -> None:
    assert not Desk(Progress()).cancel("ghost")


def test_desk_second_job_with_a_known_id_is_refused_until_the_first_is_finished() -> None:
    desk = Desk(Progress())
    desk.accept(job("a"))
    assert desk.accept(job("a")) is Accepted.KNOWN
    desk.take()
    assert desk.accept(job("a")) is Accepted.KNOWN
    assert desk.finish("a")
    assert desk.accept(job("a")) is Accepted.YES


def test_desk_drained_lets_every_waiting_thread_go() -> None:
    desk = Desk(Progress())
    threads = [threading.Thread(target=desk.take) for _ in range(4)]
    for thread in threads:
        thread.start()
    desk.drain()
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)
