"""When a model's files are made ready, and what a failure means."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from infsup.protocol.errors import InfsupError, ModelUnavailable
from infsup.supervisor.config import ModelConfig, parse_config
from infsup.supervisor.preparation import Preparation, Stage, prepare_local


def model(**keys: Any) -> ModelConfig:
    table = {"task": "text-completion", "engine": "fault", **keys}
    return parse_config({"models": {"m": table}}, Path("/"), {}).models["m"]


class Files:
    """A preparer whose end the test decides."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gates: dict[str, asyncio.Future[None]] = {}

    def __call__(self, name: str, model: ModelConfig) -> Awaitable[None]:
        assert model.engine == "fault"
        self.asked.append(name)
        self.gates[name] = asyncio.get_running_loop().create_future()
        return self.gates[name]


class Bench:
    """A `Preparation` and what it told."""

    def __init__(self, concurrency: int = 2) -> None:
        self.files = Files()
        self.prepared: list[str] = []
        self.failed: list[tuple[str, InfsupError]] = []
        self.preparation = Preparation(
            self.files, concurrency, self.prepared.append, lambda name, error: self.failed.append((name, error))
        )


def run(scenario: Callable[[Bench], Awaitable[None]], concurrency: int = 2) -> None:
    async def main() -> None:
        bench = Bench(concurrency)
        try:
            await scenario(bench)
        finally:
            bench.preparation.close()

    asyncio.run(main())


async def turn() -> None:
    """Let tasks that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_preparation_on_demand_begins_with_the_first_want_and_once_only() -> None:
    async def scenario(bench: Bench) -> None:
        bench.preparation.set_model("m", model())
        await turn()
        assert (bench.files.asked, bench.preparation.stage("m")) == ([], Stage.UNPREPARED)
        bench.preparation.want("m")
        bench.preparation.want("m")
        await turn()
        assert (bench.files.asked, bench.preparation.stage("m")) == (["m"], Stage.PREPARING)
        bench.files.gates["m"].set_result(None)
        await turn()
        bench.preparation.want("m")
        await turn()
        assert (bench.files.asked, bench.prepared, bench.preparation.stage("m")) == (["m"], ["m"], Stage.PREPARED)

    run(scenario)


@pytest.mark.parametrize("keys", [{"prepare": "async"}, {"prepare": "blocking"}, {"min_instances": 1}])
def test_preparation_of_other_kinds_begins_at_once(keys: dict[str, Any]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.preparation.set_model("m", model(**keys))
        await turn()
        assert bench.files.asked == ["m"]

    run(scenario)


def test_preparation_ready_waits_for_blocking_models_only() -> None:
    async def scenario(bench: Bench) -> None:
        bench.preparation.set_model("later", model(prepare="async"))
        bench.preparation.set_model("first", model(prepare="blocking"))
        assert bench.preparation.unready() == ["first"]
        waiting = asyncio.ensure_future(bench.preparation.wait_until_ready())
        await turn()
        assert not waiting.done()
        bench.files.gates["first"].set_result(None)
        await asyncio.wait_for(waiting, 5)

    run(scenario)


def test_preparation_runs_no_more_at_once_than_allowed() -> None:
    async def scenario(bench: Bench) -> None:
        for name in ("a", "b", "c"):
            bench.preparation.set_model(name, model(prepare="async"))
        await turn()
        assert bench.files.asked == ["a", "b"]
        bench.files.gates["a"].set_result(None)
        await turn()
        assert bench.files.asked == ["a", "b", "c"]

    run(scenario)


def test_preparation_that_failed_refuses_for_a_while_and_forgive_ends_that() -> None:
    async def scenario(bench: Bench) -> None:
        bench.preparation.set_model("m", model())
        bench.preparation.want("m")
        await turn()
        bench.files.gates["m"].set_exception(ModelUnavailable("no such file"))
        await turn()
        refusal = bench.preparation.refusal("m")
        assert refusal is not None
        assert (refusal.message, bench.failed[0][0], bench.preparation.stage("m")) == (
            "no such file",
            "m",
            Stage.FAILED,
        )
        bench.preparation.want("m")
        await turn()
        assert bench.files.asked == ["m"]
        bench.preparation.forgive("m")
        assert bench.preparation.refusal("m") is None
        bench.preparation.want("m")
        await turn()
        assert bench.files.asked == ["m", "m"]

    run(scenario)


def test_preparation_with_a_bug_in_the_preparer_fails_the_model_only() -> None:
    async def scenario(bench: Bench) -> None:
        bench.preparation.set_model("m", model())
        bench.preparation.want("m")
        await turn()
        bench.files.gates["m"].set_exception(ValueError("oops"))
        await turn()
        assert "oops" in bench.failed[0][1].message

    run(scenario)


def test_preparation_of_a_removed_model_is_cancelled() -> None:
    async def scenario(bench: Bench) -> None:
        bench.preparation.set_model("m", model(prepare="async"))
        await turn()
        bench.preparation.remove_model("m")
        await turn()
        assert bench.files.gates["m"].cancelled()
        assert bench.prepared == []

    run(scenario)


def test_prepare_local_names_the_key_and_the_file_that_is_missing(tmp_path: Path) -> None:
    async def prepare(one: ModelConfig) -> None:
        await prepare_local("m", one)

    file = tmp_path / "weights.gguf"
    file.write_bytes(b"")
    one = model(file=str(file))
    asyncio.run(prepare(one))
    file.unlink()
    with pytest.raises(ModelUnavailable, match=r"models\.m\.file: .*weights\.gguf: No such file"):
        asyncio.run(prepare(one))
