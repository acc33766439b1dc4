"""A real worker process, driven through its socket and by signals."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infsup.protocol.job import JobHeader
from infsup.protocol.messages import Hello, decode, run_packet
from infsup.protocol.wire import VERSION, Kind, Packet, join, pack, unpack_map

from .worker_harness import FakeSupervisor, fake_supervisor


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[FakeSupervisor]:
    with fake_supervisor(tmp_path) as made:
        yield made


def test_worker_streaming_job_sends_each_word_then_result(supervisor: FakeSupervisor) -> None:
    loaded = supervisor.start()
    assert loaded.tasks == ("chat-completion", "embedding", "text-completion")
    supervisor.run("j1", "one two  three")
    text, last = supervisor.finish("j1")
    assert text == "one two  three"
    assert last.kind is Kind.DONE
    result = unpack_map(last.body)
    assert result["choices"] == [{"index": 0, "text": "one two  three", "finish_reason": "stop"}]
    assert result["usage"] == {"prompt_tokens": 3, "completion_tokens": 3}


def test_worker_job_without_stream_merges_its_chunks(supervisor: FakeSupervisor) -> None:
    supervisor.start(beat_interval=60)
    supervisor.run("j1", "!tokens 200 0", stream=False)
    text, last = supervisor.finish("j1")
    choice = unpack_map(last.body)["choices"][0]
    assert choice["text"] == " ".join(f"t{n}" for n in range(200))
    assert choice["text"].startswith(text)
    assert len(text) < len(choice["text"])


def test_worker_stalled_job_without_stream_has_shown_its_text(supervisor: FakeSupervisor) -> None:
    supervisor.start()
    supervisor.run("j1", "!after 3 !hang", stream=False)
    text = ""
    while text != "t0 t1 t2":
        text += unpack_map(supervisor.wait(Kind.CHUNK, key="j1").body)["text"]
    seen = len(supervisor.beats)
    supervisor.wait_for(lambda: len(supervisor.beats) >= seen + 3)
    assert {(beat.phase, beat.progress) for beat in supervisor.beats[-3:]} == {("decode", 3)}


def test_worker_beats_tell_phase_progress_and_memory(supervisor: FakeSupervisor) -> None:
    supervisor.start({"load_delay": 0.5, "memory": "50MB"}, beat_interval=0.05)
    loading = [beat for beat in supervisor.beats if beat.phase == "load"]
    assert loading[-1].progress > loading[0].progress
    supervisor.wait_for(lambda: supervisor.beats[-1].phase == "idle")
    assert supervisor.beats[-1].rss_anon > 50_000_000


def test_worker_cancel_in_mid_stream_answers_with_the_partial_text(supervisor: FakeSupervisor) -> None:
    supervisor.start()
    supervisor.run("j1", "!tokens 5 60")
    supervisor.wait(Kind.CHUNK, key="j1")
    supervisor.cancel("j1")
    _, last = supervisor.finish("j1")
    assert last.kind is Kind.CANCELLED
    assert unpack_map(last.body) == {"text": "t0", "usage": {"completion_tokens": 1, "prompt_tokens": 3}}
    supervisor.run("j2", "next")
    assert supervisor.finish("j2")[0] == "next"


def test_worker_deadline_in_mid_job_answers_cancelled(supervisor: FakeSupervisor) -> None:
    supervisor.start()
    supervisor.run("j1", "!sleep 60", timeout=0.1)
    assert supervisor.finish("j1")[1].kind is Kind.CANCELLED


def test_worker_cancel_of_a_waiting_job_is_answered_at_once(supervisor: FakeSupervisor) -> None:
    supervisor.start()
    supervisor.run("j1", "!sleep 60")
    supervisor.run("j2", "never")
    supervisor.cancel("j2")
    assert supervisor.finish("j2")[1].kind is Kind.CANCELLED
    supervisor.cancel("j1")
    assert supervisor.finish("j1")[1].kind is Kind.CANCELLED


def test_worker_with_ignore_cancel_works_on_to_the_end(supervisor: FakeSupervisor) -> None:
    supervisor.start({"ignore_cancel": True})
    supervisor.run("j1", "!tokens 4 0.1")
    supervisor.wait(Kind.CHUNK, key="j1")
    supervisor.cancel("j1")
    seen = len(supervisor.beats)
    assert supervisor.finish("j1")[1].kind is Kind.CANCELLED
    assert len(supervisor.beats) > seen


@pytest.mark.parametrize("how", ["message", "SIGTERM"])
def test_worker_drain_bounces_waiting_jobs_and_exits_0(supervisor: FakeSupervisor, how: str) -> None:
    supervisor.start()
    supervisor.run("j1", "!after 1 !sleep 1")
    supervisor.wait(Kind.CHUNK, key="j1")
    supervisor.run("j2", "waits")
    if how == "message":
        supervisor.send(Packet(Kind.DRAIN))
    else:
        supervisor.signal(signal.SIGTERM)
    supervisor.wait(Kind.BOUNCED, key="j2")
    supervisor.run("j3", "late")
    supervisor.wait(Kind.BOUNCED, key="j3")
    assert supervisor.finish("j1")[1].kind is Kind.DONE
    assert supervisor.exit_status() == 0


def test_worker_drain_while_loading_leaves_at_once(supervisor: FakeSupervisor) -> None:
    supervisor.spawn()
    supervisor.load({"load_delay": 600})
    supervisor.wait_for(lambda: bool(supervisor.beats))
    supervisor.send(Packet(Kind.DRAIN))
    assert supervisor.exit_status() == 0


def test_worker_with_ignore_sigterm_stays(supervisor: FakeSupervisor) -> None:
    supervisor.spawn(INFSUP_FAULT_IGNORE_SIGTERM="1")
    supervisor.load()
    supervisor.wait(Kind.LOADED)
    supervisor.signal(signal.SIGTERM)
    supervisor.run("j1", "still here")
    assert supervisor.finish("j1")[0] == "still here"


@pytest.mark.parametrize(
    ("order", "status"),
    [
        ("!crash", 70),
        ("!exit 3", 3),
        ("!segfault", -signal.SIGSEGV),
        ("!abort", -signal.SIGABRT),
        ("!oom", -signal.SIGKILL),
    ],
)
def test_worker_deadly_order_ends_it_after_its_words_arrived(
    supervisor: FakeSupervisor, order: str, status: int
) -> None:
    supervisor.start()
    supervisor.run("j1", f"!after 3 {order}")
    text = "".join(unpack_map(supervisor.wait(Kind.CHUNK, key="j1").body)["text"] for _ in range(3))
    assert text == "t0 t1 t2"
    assert supervisor.exit_status() == status
    assert not [packet for packet in supervisor.foreign if packet.key == "j1"]


def test_worker_fatal_error_in_a_job_thread_ends_the_process(supervisor: FakeSupervisor) -> None:
    assert supervisor.start({"capacity": 3}).capacity == 3
    supervisor.run("j1", "!sleep 60")
    supervisor.run("j2", "together")
    assert supervisor.finish("j2")[0] == "together"
    supervisor.run("j3", "!crash")
    assert supervisor.exit_status() == 70


@pytest.mark.parametrize(
    ("prompt", "code", "words"),
    [
        ("!error it broke", "engine_error", "it broke"),
        ("!tokens many", "invalid_request", "!tokens N DELAY_S"),
        ("!unheard-of", "invalid_request", "!unheard-of"),
    ],
)
def test_worker_failing_job_answers_and_goes_on(supervisor: FakeSupervisor, prompt: str, code: str, words: str) -> None:
    supervisor.start()
    supervisor.run("j1", prompt)
    _, last = supervisor.finish("j1")
    error = unpack_map(last.body)
    assert last.kind is Kind.FAILED
    assert error["code"] == code
    assert words in error["message"]
    supervisor.run("j2", "on")
    assert supervisor.finish("j2")[0] == "on"


def test_worker_gil_held_sends_no_beats_meanwhile(supervisor: FakeSupervisor) -> None:
    supervisor.start(beat_interval=0.05)
    supervisor.run("j1", "!after 1 !gil 0.6")
    supervisor.wait(Kind.CHUNK, key="j1")
    seen, started = len(supervisor.beats), time.monotonic()
    supervisor.wait(Kind.DONE, key="j1")
    assert time.monotonic() - started > 0.4
    assert len(supervisor.beats) - seen < 6


def test_worker_frozen_then_continued_is_no_orphan(supervisor: FakeSupervisor) -> None:
    supervisor.start(beat_interval=0.05, orphan_timeout=0.5)
    supervisor.run("j1", "!freeze")
    supervisor.wait_for(lambda: supervisor.state() == "T")
    until = time.monotonic() + 0.7
    supervisor.wait_for(lambda: time.monotonic() > until)
    supervisor.signal(signal.SIGCONT)
    assert supervisor.finish("j1")[0] == "!freeze"


def test_worker_leak_shows_in_its_beats(supervisor: FakeSupervisor) -> None:
    supervisor.start()
    supervisor.run("j1", "!leak 60")
    assert supervisor.finish("j1")[0] == "!leak 60"
    supervisor.wait_for(lambda: supervisor.beats[-1].rss_anon > 60_000_000)


def test_worker_garbage_is_malformed_and_then_it_echoes(supervisor: FakeSupervisor) -> None:
    supervisor.start()
    supervisor.run("j1", "!garbage")
    text, last = supervisor.finish("j1")
    assert (text, last.kind) == ("!garbage", Kind.DONE)
    assert len(supervisor.malformed) >= 9


def test_worker_gets_garbage_drops_it_and_goes_on(supervisor: FakeSupervisor) -> None:
    supervisor.start()
    for frames in ([b""], [b"\x09\x01", b"k"], [bytes((VERSION, Kind.LOAD)), b"", b"\xc1"], join(Packet(Kind.HELLO))):
        supervisor.send_frames(frames)
    supervisor.run("j1", "fine")
    assert supervisor.finish("j1")[0] == "fine"
    assert supervisor.output().count("dropped a message") == 4


def test_worker_job_with_unreadable_parameters_fails(supervisor: FakeSupervisor) -> None:
    supervisor.start()
    supervisor.send(run_packet(JobHeader("j1", "echo", "text-completion"), b"\xc1", None))
    _, last = supervisor.finish("j1")
    assert unpack_map(last.body)["code"] == "invalid_request"


def test_worker_of_another_task_refuses_the_job(supervisor: FakeSupervisor) -> None:
    supervisor.start()
    supervisor.send(run_packet(JobHeader("j1", "echo", "rerank"), pack({}), None))
    error = unpack_map(supervisor.finish("j1")[1].body)
    assert error["code"] == "unsupported_task"
    assert "chat-completion, embedding, text-completion" in error["message"]


@pytest.mark.parametrize(
    ("engine", "options", "code", "words"),
    [
        ("fault", {"load_fail": "no such weights"}, "engine_error", "no such weights"),
        ("fault", {"load_dely": 1}, "invalid_request", "load_dely"),
        ("faulty", {}, "invalid_request", "onnx, llama-cpp, fault"),
        ("no.such_module:Engine", {}, "invalid_request", "no module 'no'"),
    ],
)
def test_worker_load_failure_is_told_and_ends_it(
    supervisor: FakeSupervisor, engine: str, options: dict[str, Any], code: str, words: str
) -> None:
    supervisor.spawn()
    supervisor.load(options, engine=engine)
    error = unpack_map(supervisor.wait(Kind.LOAD_FAILED).body)
    assert error["code"] == code
    assert words in error["message"]
    assert supervisor.exit_status() == 1


def test_worker_load_crash_dies_of_a_signal(supervisor: FakeSupervisor) -> None:
    supervisor.spawn()
    supervisor.load({"load_crash": True})
    assert supervisor.exit_status() == -signal.SIGSEGV
    assert "Segmentation fault" in supervisor.output()


def test_worker_sigusr1_dumps_the_stacks_of_all_threads(supervisor: FakeSupervisor) -> None:
    supervisor.start()
    supervisor.run("j1", "!after 1 !hang")
    supervisor.wait(Kind.CHUNK, key="j1")

    def dumped() -> bool:
        supervisor.signal(signal.SIGUSR1)
        return "in hang" in supervisor.output() and "link.py" in supervisor.output()

    supervisor.wait_for(dumped)
    assert supervisor.process is not None
    assert supervisor.process.poll() is None


def test_worker_without_answers_leaves_by_itself(supervisor: FakeSupervisor) -> None:
    supervisor.start(orphan_timeout=0.5)
    supervisor.run("j1", "!hang")
    supervisor.answering = False
    assert supervisor.exit_status() == 0
    assert "has not answered" in supervisor.output()


def test_worker_parent_killed_dies_too(supervisor: FakeSupervisor) -> None:
    code = (
        "import os, subprocess, sys, time\n"
        "env = {**os.environ, 'INFSUP_PARENT_PID': str(os.getpid())}\n"
        "subprocess.Popen([sys.executable, '-m', 'infsup.workers'], env=env, start_new_session=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], env=supervisor.env()) as parent:
        hello = decode(Hello, supervisor.wait(Kind.HELLO))
        pidfd = os.pidfd_open(hello.pid)
        try:
            parent.kill()
            ended, _, _ = select.select([pidfd], [], [], 2.0)
        finally:
            os.close(pidfd)
    assert ended


def test_worker_with_another_parent_than_told_leaves(supervisor: FakeSupervisor) -> None:
    supervisor.spawn(INFSUP_PARENT_PID="1")
    assert supervisor.exit_status() == 1
    assert "is gone" in supervisor.output()


def test_worker_started_by_hand_says_who_starts_it() -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("INFSUP_")}
    done = subprocess.run(
        [sys.executable, "-m", "infsup.workers"], env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 64
    assert "started by infsup" in done.stderr


def test_worker_with_no_hello_says_nothing_and_ends_on_sigterm(supervisor: FakeSupervisor) -> None:
    supervisor.spawn(INFSUP_FAULT_NO_HELLO="1")
    assert supervisor.receive(0.5) is None
    assert supervisor.process is not None
    assert supervisor.process.poll() is None
    supervisor.signal(signal.SIGTERM)
    assert supervisor.exit_status() == -signal.SIGTERM


def test_worker_of_the_fault_engine_imports_nothing_heavy() -> None:
    heavy = {"numpy", "onnxruntime", "pydantic", "aiohttp", "tokenizers", "torch", "llama_cpp", "asyncio"}
    code = (
        "import sys, infsup.workers.__main__, infsup.workers.serve, infsup.workers.engines.fault\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not heavy & set(done.stdout.split())
