"""GPU slots and memory as leases, seen from outside, on a machine without a GPU."""

import os
import signal
import threading
import time
from pathlib import Path

import openai
import pytest

from .real_server import RealServer, say, serve, wait_for

CONFIG = """
[pool]
gpu_slots = 1
swap_patience = 1.0

[models.a]
task = "text-completion"
engine = "fault"
device = { gpu = true }

[models.b]
task = "text-completion"
engine = "fault"
device = { gpu = true }

[models.auto]
task = "text-completion"
engine = "fault"
ttl = 0

[models.broken]
task = "text-completion"
engine = "fault"
device = { gpu = true }
max_restarts = 0
options = { load_fail = "no such luck" }

[models.huge]
task = "text-completion"
engine = "fault"
file = "huge.bin"
"""


def ask(server: RealServer, model: str, prompt: str = "hello") -> str | None:
    return server.client().chat.completions.create(model=model, messages=say(prompt)).choices[0].message.content


def test_gpu_slot_is_swapped_and_comes_back_on_every_way_out(tmp_path: Path) -> None:
    with (tmp_path / "huge.bin").open("wb") as file:
        file.truncate(2**40)
    with serve(CONFIG, tmp_path) as server:
        assert ask(server, "a") == "hello"
        assert {one["device"] for one in server.instances("a").values()} == {"gpu"}
        # Taken: an automatic one falls back, one that must have it makes the idle holder leave.
        assert ask(server, "auto") == "hello"
        assert ask(server, "b") == "hello"
        assert server.instances("a") == {}
        os.kill(next(iter(server.instances("b").values()))["pid"], signal.SIGKILL)
        assert ask(server, "a") == "hello"
        with pytest.raises(openai.InternalServerError) as caught:
            ask(server, "broken")
        assert caught.value.code == "model_unavailable"
        assert ask(server, "b") == "hello"
        with pytest.raises(openai.InternalServerError) as caught:
            ask(server, "huge")
        assert caught.value.code == "out_of_memory"


def test_gpu_holder_under_constant_load_gives_way_after_its_patience(tmp_path: Path) -> None:
    (tmp_path / "huge.bin").touch()
    with serve(CONFIG, tmp_path) as server:
        stop = threading.Event()

        def keep_busy() -> None:
            while not stop.is_set():
                ask(server, "a", "!sleep 0.2")

        threads = [threading.Thread(target=keep_busy) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            wait_for(lambda: bool(server.instances("a")), 10)
            begun = time.monotonic()
            assert ask(server, "b") == "hello"
            assert time.monotonic() - begun < 15
        finally:
            stop.set()
            for thread in threads:
                thread.join()
