"""What the scheduler is told of models: estimates first, then what was learned."""

from pathlib import Path
from typing import Any

from infsup.supervisor.budget import Budget
from infsup.supervisor.config import Config, parse_config
from infsup.supervisor.footprint import FootprintStore
from infsup.supervisor.machine import Machine
from infsup.supervisor.room import Gpu, Share
from infsup.supervisor.weights import Weights

MB = 1_000_000
BOX = Machine((0, 1), frozenset({0, 1}), None, 1000 * MB, 1)


KEPT = {"min_instances": 2, "max_instances": 2, "options": {"memory": "100MB"}}


def configured(store: Path, pool: dict[str, Any] | None = None, **models: dict[str, Any]) -> Config:
    tables = {name: {"task": "text-completion", "engine": "fault", **keys} for name, keys in models.items()}
    return parse_config({"store": {"path": str(store)}, "pool": pool or {}, "models": tables})


def teach(store: Path, key: str, own: int) -> None:
    footprints = FootprintStore(store)
    footprints.observe(key, own, run="m-1")
    footprints.save()


def test_total_is_a_share_of_the_machines_memory_and_its_gpu(tmp_path: Path) -> None:
    assert Budget(configured(tmp_path, m={}), BOX, {}).total == Share(800 * MB, 1)
    pool = {"memory": "300MB", "gpu_slots": 3}
    assert Budget(configured(tmp_path, pool, m={}), BOX, {}).total == Share(300 * MB, 3)


def test_expected_without_a_run_is_the_estimate(tmp_path: Path) -> None:
    budget = Budget(configured(tmp_path, m={"options": {"memory": "100MB"}}), BOX, {"m": Weights(7 * MB)})
    assert budget.expected("m").bytes == budget.estimates["m"].bytes == 147 * MB
    assert budget.limits("m").needs.memory == 147 * MB


def test_expected_after_a_run_is_what_it_took(tmp_path: Path) -> None:
    config = configured(tmp_path, m={"options": {"memory": "100MB"}})
    teach(tmp_path, config.models["m"].load_key(), 200 * MB)
    found = Budget(config, BOX, {}).expected("m")
    assert (found.bytes, found.learned) == (210 * MB, True)


def test_expected_on_the_gpu_is_what_it_took_there(tmp_path: Path) -> None:
    devices = {"must": {"gpu": True}, "auto": {"gpu": "auto"}, "never": {"gpu": False}}
    config = configured(tmp_path, **{name: {"device": device} for name, device in devices.items()})
    for model in config.models.values():
        teach(tmp_path, model.load_key(), 100 * MB)
        teach(tmp_path, f"{model.load_key()}-gpu", 200 * MB)
    budget = Budget(config, BOX, {})
    assert {name: budget.expected(name).bytes // MB for name in devices} == {"must": 210, "auto": 210, "never": 105}
    assert [budget.limits(name).needs.gpu for name in devices] == [Gpu.MUST, Gpu.AUTO, Gpu.NO]


def test_expected_a_leak_of_an_earlier_run_does_not_lock_the_model_out(tmp_path: Path) -> None:
    config = configured(tmp_path, {"memory": "500MB"}, leaky={}, kept=KEPT)
    teach(tmp_path, config.models["leaky"].load_key(), 900 * MB)
    assert Budget(config, BOX, {}).expected("kept").bytes == 140 * MB
    assert Budget(config, BOX, {}).expected("leaky").bytes == 220 * MB
    teach(tmp_path, config.models["kept"].load_key(), 900 * MB)
    assert Budget(config, BOX, {}).expected("kept").bytes == 250 * MB


def test_expected_what_fitted_neither_by_estimate_nor_by_experience_fits_never(tmp_path: Path) -> None:
    config = configured(tmp_path, {"memory": "500MB"}, m={"options": {"memory": "700MB"}})
    teach(tmp_path, config.models["m"].load_key(), 600 * MB)
    assert Budget(config, BOX, {}).expected("m").bytes == 630 * MB


def test_adopt_another_configuration_keeps_what_was_learned(tmp_path: Path) -> None:
    config = configured(tmp_path, a={})
    teach(tmp_path, config.models["a"].load_key(), 200 * MB)
    budget = Budget(config, BOX, {})
    other = {"options": {"memory": "10MB"}}
    budget.adopt(configured(tmp_path, {"memory": "400MB"}, a={"ttl": 5}, b=other), {"b": Weights(60 * MB)})
    assert budget.total.memory == 400 * MB
    assert (budget.expected("a").bytes, budget.expected("b").bytes) == (210 * MB, 110 * MB)
    budget.adopt(configured(tmp_path, b={}), {})
    assert ("a" in budget, "b" in budget) == (False, True)
