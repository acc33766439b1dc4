"""Jobs that kill workers: poison, and batches with one bad job among good ones."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import openai
import pytest

from .real_server import RealServer, say, serve, wait_for

CONFIG = """
[models.m]
task = "text-completion"
engine = "fault"
min_instances = 1

[models.batch]
task = "text-completion"
engine = "fault"
min_instances = 1
parallel = 4
options = { capacity = 4 }
"""


def outcome(server: RealServer, model: str, prompt: str) -> str:
    try:
        answer = server.client().chat.completions.create(model=model, messages=say(prompt))
    except openai.APIStatusError as error:
        return str(error.code)
    return answer.choices[0].message.content or ""


def deaths(server: RealServer) -> int:
    return len(json.loads(server.infsup("deaths", "--json").stdout))


def pids(server: RealServer, model: str) -> set[int]:
    return {one["pid"] for one in server.instances(model).values()}


def wait_until_replaced(server: RealServer, model: str, worn: set[int]) -> None:
    wait_for(lambda: bool(pids(server, model)) and not pids(server, model) & worn, 15, server.output)


def test_poison_job_is_refused_and_the_model_stays_up(tmp_path: Path) -> None:
    with serve(CONFIG, tmp_path) as server:
        server.wait_idle("m")
        with pytest.raises(openai.InternalServerError) as caught:
            server.client().chat.completions.create(model="m", messages=say("!segfault"))
        assert caught.value.code == "worker_crashed"
        assert caught.value.response.headers["x-should-retry"] == "false"
        before = deaths(server)
        # The patient client of a user: resends by itself, over and over.
        for _ in range(5):
            assert outcome(server, "m", "!segfault") == "worker_crashed"
        assert deaths(server) == before
        assert outcome(server, "m", "good") == "good"
        assert server.infsup("reset", "m").returncode == 0


def test_batch_with_one_bad_job_loses_only_that_one(tmp_path: Path) -> None:
    with serve(CONFIG, tmp_path) as server:
        server.wait_idle("batch")
        prompts = ["!sleep 1", "!sleep 1.1", "!abort", "!sleep 1.2"]
        with ThreadPoolExecutor(4) as pool:
            outcomes = list(pool.map(partial(outcome, server, "batch"), prompts))
        assert outcomes[2] == "worker_crashed"
        assert "worker_crashed" not in (outcomes[0], outcomes[1], outcomes[3])


def test_worn_instance_is_replaced_without_losing_a_job(tmp_path: Path) -> None:
    config = """
[models.jobs]
task = "text-completion"
engine = "fault"
recycle_after_jobs = 3

[models.leak]
task = "text-completion"
engine = "fault"
max_memory = "150MB"
"""
    with serve(config, tmp_path) as server:
        for _ in range(4):
            assert outcome(server, "jobs", "first") == "first"
            worn = pids(server, "jobs")
            for number in range(2):
                assert outcome(server, "jobs", f"job {number}") == f"job {number}"
            wait_until_replaced(server, "jobs", worn)
        assert outcome(server, "leak", "small") == "small"
        worn = pids(server, "leak")
        assert outcome(server, "leak", "!leak 200") == "!leak 200"
        wait_until_replaced(server, "leak", worn)
        assert outcome(server, "leak", "fresh") == "fresh"
        assert deaths(server) == 0
