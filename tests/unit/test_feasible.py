"""Which configurations a machine cannot meet, what is said of them, and what only a warning is said of."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infsup.supervisor.budget import Budget
from infsup.supervisor.config import ConfigError, Problem, parse_config
from infsup.supervisor.config.problems import Findings
from infsup.supervisor.feasible import check_feasible
from infsup.supervisor.gguf_facts import Facts
from infsup.supervisor.machine import Machine
from infsup.supervisor.weights import Weights

GB = 1_000_000_000
BOX = Machine(cores=(0, 1, 2, 3), online=frozenset(range(4)), quota=None, memory=10 * GB, gpus=0, system="linux")
GPU_BOX = Machine(cores=(0, 1, 2, 3), online=frozenset(range(4)), quota=None, memory=10 * GB, gpus=1, system="linux")
CACHE = Facts("llama", context_length=1000, kv_heads=1000, key_length=25, value_length=25)  # 100 kB a token


class Look:
    """The problems and warnings of a configuration on a machine, as texts without the note, by key path."""

    def __init__(
        self,
        raw: Mapping[str, Any],
        store: Path,
        machine: Machine = BOX,
        *,
        starting: bool = False,
        weights: Mapping[str, Weights] | None = None,
    ) -> None:
        raw = {"store": {"path": str(store)}, **raw}
        findings = Findings(raw, {}, "")
        config = parse_config(raw)
        for name, model in config.models.items():  # the rest of the checks wants files that exist
            if name in (weights or {}):
                config.models[name] = model.model_copy(update={"engine": "llama-cpp"})
        self.budget = Budget(config, machine, weights or {})
        check_feasible(config, machine, self.budget, findings, starting=starting)
        self.problems = {problem.key_path: problem for problem in findings.problems()}
        self.warnings = {problem.key_path: problem for problem in findings.warnings()}

    def keys(self) -> tuple[list[str], list[str]]:
        return sorted(self.problems), sorted(self.warnings)


def fault(**keys: Any) -> dict[str, Any]:
    return {"task": "text-completion", "engine": "fault", **keys}


def one(pool: Mapping[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    return {"pool": dict(pool or {}), "models": {"m": fault(**keys)}}


def sized(gigabytes: float) -> dict[str, Any]:
    """The options that make an instance of the fault engine take about so much."""
    return {"memory": int(gigabytes * GB)}


def message(problem: Problem) -> str:
    return problem.message


def test_check_feasible_what_fits_says_nothing(tmp_path: Path) -> None:
    raw = one({"cores": "0-3", "memory": "8GB"}, min_instances=2, max_instances=2, device={"cpu_threads": 2})
    assert Look(raw, tmp_path).keys() == ([], [])


# Cores


def test_cores_that_do_not_exist_are_refused_in_any_case(tmp_path: Path) -> None:
    for starting in (False, True):
        look = Look(one({"cores": "2-5,7"}), tmp_path, starting=starting)
        assert look.keys() == (["pool.cores"], [])
        assert message(look.problems["pool.cores"]) == (
            'found "2-5,7" (4-5,7 are not there), allowed: cores of this machine: 0-3'
        )


def test_cores_of_the_machine_that_the_process_does_not_use_warn(tmp_path: Path) -> None:
    bound = Machine((0, 1), frozenset(range(4)), None, GB, 0)
    look = Look(one({"cores": "0-3", "memory": "500MB"}), tmp_path, bound)
    assert look.keys() == ([], ["pool.cores"])
    assert "2-3 may be refused" in message(look.warnings["pool.cores"])


def test_cpu_threads_over_the_cores_are_refused_at_check_and_fewer_at_start(tmp_path: Path) -> None:
    raw = one({"cores": "0-1"}, device={"cpu_threads": 3})
    look = Look(raw, tmp_path)
    assert look.keys() == (["models.m.device.cpu_threads"], [])
    assert message(look.problems["models.m.device.cpu_threads"]) == (
        "found 3, allowed: 0 to 2, the cores that there are"
    )
    assert Look(raw, tmp_path, starting=True).keys() == ([], ["models.m.device.cpu_threads"])


def test_cpu_threads_over_the_quota_warn(tmp_path: Path) -> None:
    container = Machine(tuple(range(64)), frozenset(range(64)), 2.5, 10 * GB, 0)
    look = Look(one(device={"cpu_threads": 8}), tmp_path, container)
    assert look.keys() == ([], ["models.m.device.cpu_threads"])
    assert "quota is 2.5 cores; it will be 2" in message(look.warnings["models.m.device.cpu_threads"])


def test_min_instances_that_share_cores_warn(tmp_path: Path) -> None:
    raw = one(min_instances=3, max_instances=3, device={"cpu_threads": 2})
    look = Look(raw, tmp_path)
    assert look.keys() == ([], ["pool.cores"])
    assert "6 threads of min_instances on 4 cores" in message(look.warnings["pool.cores"])


# GPU


@pytest.mark.parametrize("gpu", [True, "cuda", "vulkan"])
def test_gpu_that_is_not_there_is_refused(tmp_path: Path, gpu: object) -> None:
    look = Look(one(device={"gpu": gpu}), tmp_path)
    assert look.keys() == (["models.m.device.gpu"], [])
    assert "no GPU can be seen here" in message(look.problems["models.m.device.gpu"])
    assert Look(one(device={"gpu": gpu}), tmp_path, starting=True).keys() == ([], ["models.m.device.gpu"])
    kept = one(device={"gpu": gpu}, min_instances=1)
    assert Look(kept, tmp_path, starting=True).keys() == (["models.m.device.gpu"], [])


def test_gpu_that_is_there_or_not_needed_says_nothing(tmp_path: Path) -> None:
    assert Look(one(device={"gpu": True}), tmp_path, GPU_BOX).keys() == ([], [])
    for gpu in ("auto", False):
        assert Look(one(device={"gpu": gpu}), tmp_path).keys() == ([], [])


def test_gpu_slots_without_a_gpu_are_for_the_fault_engine_and_warn_for_others(tmp_path: Path) -> None:
    raw = one({"gpu_slots": 1}, device={"gpu": True}, min_instances=1)
    assert Look(raw, tmp_path).keys() == ([], [])
    assert Look(raw, tmp_path, weights={"m": Weights()}).keys() == ([], ["models.m.device.gpu"])


def test_gpu_metal_is_for_macs(tmp_path: Path) -> None:
    raw, real = one(device={"gpu": "metal"}), {"m": Weights()}
    assert Look(raw, tmp_path, GPU_BOX, weights=real).keys() == (["models.m.device.gpu"], [])
    mac = Machine((0,), frozenset({0}), None, GB, 1, "darwin")
    assert Look(raw, tmp_path, mac, weights=real).keys() == ([], [])


def test_gpu_slots_fewer_than_min_instances_are_refused(tmp_path: Path) -> None:
    look = Look(one({"gpu_slots": 1}, device={"gpu": True}, min_instances=2, max_instances=2), tmp_path, starting=True)
    assert look.keys() == (["models.m.min_instances"], [])
    assert message(look.problems["models.m.min_instances"]) == (
        "found 2, allowed: 0 to 1: one takes 1 GPU slot of 1 GPU slot"
    )


def test_gpu_slots_that_min_instances_of_several_models_need_are_refused(tmp_path: Path) -> None:
    keep = fault(device={"gpu": True}, min_instances=1)
    look = Look({"pool": {"gpu_slots": 1}, "models": {"a": keep, "b": keep}}, tmp_path, starting=True)
    assert look.keys() == (["pool.gpu_slots"], [])
    assert "at least 2 GPU slots" in message(look.problems["pool.gpu_slots"])


def test_gpu_slot_that_others_hold_for_ever_is_refused_at_check(tmp_path: Path) -> None:
    models = {"a": fault(device={"gpu": True}, min_instances=1), "b": fault(device={"gpu": True})}
    raw = {"pool": {"gpu_slots": 1}, "models": models}
    look = Look(raw, tmp_path)
    assert look.keys() == (["models.b.device.gpu"], [])
    assert "at most 0 GPU slots of 1 GPU slot" in message(look.problems["models.b.device.gpu"])
    assert Look(raw, tmp_path, starting=True).keys() == ([], ["models.b.device.gpu"])


# Memory


def test_memory_over_the_machines_warns(tmp_path: Path) -> None:
    look = Look(one({"memory": "11GB"}), tmp_path)
    assert look.keys() == ([], ["pool.memory"])
    assert "at most 10000 MB" in message(look.warnings["pool.memory"])


def test_model_larger_than_the_memory_is_refused_unless_it_can_wait_for_ever(tmp_path: Path) -> None:
    raw = one({"memory": "2GB"}, options=sized(3))
    look = Look(raw, tmp_path)
    assert look.keys() == (["models.m.options.memory"], [])
    text = message(look.problems["models.m.options.memory"])
    assert "an instance takes 3040 MB" in text
    assert "2000 MB, which is pool.memory" in text
    assert Look(raw, tmp_path, starting=True).keys() == ([], ["models.m.options.memory"])
    kept = one({"memory": "2GB"}, options=sized(3), min_instances=1)
    assert Look(kept, tmp_path, starting=True).keys() == (["models.m.options.memory"], [])


def test_context_that_can_never_fit_is_told_at_its_key(tmp_path: Path) -> None:
    raw = one({"memory": "2GB"}, context_size=50_000)
    look = Look(raw, tmp_path, weights={"m": Weights(GB // 10, CACHE)})
    assert look.keys() == (["models.m.context_size"], [])
    assert "5000 MB for a context of 50000 tokens" in message(look.problems["models.m.context_size"])


def test_min_instances_that_can_never_be_kept_are_refused(tmp_path: Path) -> None:
    raw = one({"memory": "2GB"}, options=sized(0.5), min_instances=4, max_instances=4)
    look = Look(raw, tmp_path, starting=True)
    assert look.keys() == (["models.m.min_instances"], [])
    assert message(look.problems["models.m.min_instances"]) == ("found 4, allowed: 0 to 3: one takes 540 MB of 2000 MB")


def test_min_instances_of_several_models_and_what_they_leave(tmp_path: Path) -> None:
    models = {"a": fault(options=sized(1), min_instances=1), "b": fault(options=sized(1.5), min_instances=1)}
    look = Look({"pool": {"memory": "2GB"}, "models": models}, tmp_path, starting=True)
    assert look.keys() == (["pool.memory"], [])
    assert "a 1040 MB, b 1540 MB" in message(look.problems["pool.memory"])
    models["b"] = fault(options=sized(1.5))
    look = Look({"pool": {"memory": "2GB"}, "models": models}, tmp_path)
    assert look.keys() == (["models.b"], [])
    assert "at most 960 MB of 2000 MB" in message(look.problems["models.b"])


def test_max_memory_below_what_is_allocated_at_load_is_refused(tmp_path: Path) -> None:
    raw = one(options=sized(0.2), max_memory="100MB")
    look = Look(raw, tmp_path)
    assert look.keys() == (["models.m.max_memory"], [])
    assert "over 216 MB" in message(look.problems["models.m.max_memory"])
    assert Look(raw, tmp_path, starting=True).keys() == ([], ["models.m.max_memory"])
    assert Look(one(options=sized(0.2), max_memory="220MB"), tmp_path).keys() == ([], [])


def test_everything_is_told_at_once(tmp_path: Path) -> None:
    raw = one(
        {"cores": "9", "memory": "1GB"},
        device={"gpu": True, "cpu_threads": 99},
        options=sized(5),
        max_memory="1MB",
    )
    assert Look(raw, tmp_path).keys()[0] == [
        "models.m.device.cpu_threads",
        "models.m.device.gpu",
        "models.m.max_memory",
        "models.m.options.memory",
        "pool.cores",
    ]


def test_what_is_unsound_already_is_left_alone(tmp_path: Path) -> None:
    raw = one({"gpu_slots": 0, "memory": "1GB"}, device={"gpu": True}, options=sized(5))
    with pytest.raises(ConfigError):
        Look(raw, tmp_path)
    raw["pool"].pop("gpu_slots")
    findings = Findings(raw, {}, "")
    findings.add(("models", "m", "task"), "another")
    config = parse_config(raw)
    check_feasible(config, BOX, Budget(config, BOX, {}), findings, starting=False)
    assert [problem.key_path for problem in findings.problems()] == ["models.m.task"]
