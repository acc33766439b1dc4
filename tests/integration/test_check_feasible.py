"""What this machine cannot meet: said by `infsup check`, refused or lived with by `infsup start`."""

import json
import os
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import openai
import pytest

from .real_server import MODELS, RealServer, cli, say, serve

MANY = 4095
HUGE = 2_000_000_000
"""Tokens of context: 2 TB of KV cache for the tiny model, more than any machine has that runs tests."""

ALL_AT_ONCE = f"""
[pool]
cores = "{MANY}"
memory = "1GB"

[models.threads]
task = "text-completion"
engine = "fault"
device = {{ gpu = false, cpu_threads = {MANY} }}

[models.slots]
task = "text-completion"
engine = "fault"
device = {{ gpu = true }}

[models.large]
task = "text-completion"
engine = "llama-cpp"
file = "{MODELS / "tiny.f16.gguf"}"
context_size = {HUGE}

[models.crowd]
task = "text-completion"
engine = "fault"
min_instances = 3
max_instances = 3
options = {{ memory = "400MB" }}
"""

ONE_TOO_LARGE = f"""
[models.echo]
task = "text-completion"
engine = "fault"
min_instances = 1

[models.large]
task = "text-completion"
engine = "llama-cpp"
file = "{MODELS / "tiny.f16.gguf"}"
context_size = {HUGE}

[models.damaged]
task = "text-completion"
engine = "llama-cpp"
file = "damaged.gguf"
max_restarts = 0
"""


def run(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `infsup` where no GPU can be seen, and where nothing was learned."""
    env = {**os.environ, "HOME": str(directory), "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run([*cli(), *arguments], capture_output=True, text=True, timeout=60, check=False, env=env)


def check(config: str, directory: Path) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit status of `infsup check --json` and what it found."""
    file = directory / "infsup.toml"
    file.write_text(config, encoding="utf-8")
    done = run(directory, "check", str(file), "--json")
    return done.returncode, json.loads(done.stdout)


def ask(server: RealServer, model: str) -> str | None:
    return server.client().chat.completions.create(model=model, messages=say("hello")).choices[0].message.content


def test_check_tells_everything_that_cannot_be_met_with_its_place(tmp_path: Path) -> None:
    status, problems = check(ALL_AT_ONCE, tmp_path)
    assert status == 2
    errors = {problem["key"]: problem for problem in problems if problem["severity"] == "error"}
    assert {"pool.cores", "models.threads.device.cpu_threads", "models.large.context_size"} <= errors.keys()
    assert "models.crowd.min_instances" in errors
    assert errors["models.crowd.min_instances"]["line"] == 25
    assert "one takes 440 MB of 1000 MB" in errors["models.crowd.min_instances"]["allowed"]
    assert "1000 MB, which is pool.memory" in errors["models.large.context_size"]["allowed"]


def test_start_refuses_what_would_never_be_ready_with_the_same_words(tmp_path: Path) -> None:
    (tmp_path / "infsup.toml").write_text(ALL_AT_ONCE, encoding="utf-8")
    done = run(tmp_path, "start", str(tmp_path / "infsup.toml"), "--port", "0", "--runtime-dir", str(tmp_path / "run"))
    assert done.returncode == 2
    assert "models.crowd.min_instances: found 3, allowed: 0 to 2" in done.stderr
    assert "pool.cores" in done.stderr
    assert "Traceback" not in done.stderr


def test_gpu_slots_of_the_fault_engine_need_no_gpu(tmp_path: Path) -> None:
    config = '[pool]\ngpu_slots = 1\n[models.m]\ntask = "embedding"\nengine = "fault"\ndevice = { gpu = true }\n'
    assert check(config, tmp_path) == (0, [])


def test_model_that_can_never_fit_answers_out_of_memory_at_once(tmp_path: Path) -> None:
    damaged = b"GGUF" + struct.pack("<IQQ", 3, 2**60, 5)
    (tmp_path / "damaged.gguf").write_bytes(damaged)
    assert check(ONE_TOO_LARGE, tmp_path)[0] == 2
    with serve(ONE_TOO_LARGE, tmp_path) as server:
        assert "models.large.context_size: warning: found 2000000000" in server.output()
        assert "models.damaged.file: warning" in server.output()
        begun = time.monotonic()
        with pytest.raises(openai.InternalServerError) as caught:
            ask(server, "large")
        assert (caught.value.status_code, caught.value.code) == (503, "out_of_memory")
        assert time.monotonic() - begun < 20
        assert "needs about 2048" in caught.value.message
        assert "MB can be free" in caught.value.message
        assert server.instances("large") == {}
        # Nobody waits behind it, also not when its load is ordered.
        server.infsup("load", "large")
        assert ask(server, "echo") == "hello"
        with pytest.raises(openai.InternalServerError) as caught:
            ask(server, "damaged")
        assert caught.value.code == "model_unavailable"
