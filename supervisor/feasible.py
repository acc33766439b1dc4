"""Whether this machine can meet a configuration: enough cores, a GPU, and memory for what is to be loaded.

What cannot be met is a mistake for `infsup check`. `infsup start` refuses only what would keep the server itself from
working, such as `min_instances` that can never be kept: there it is a warning that one model of many, loaded on
demand, will answer `out_of_memory` or `model_unavailable`, or gets fewer threads than it asks for.
"""

from .budget import Budget, gpu_need
from .config import Config
from .config.problems import Findings, KeyPath
from .feasible_memory import check_memory
from .feasible_shares import Ration, Verdict, check_pinned
from .machine import Machine, whole_cores
from .room import Gpu


def check_feasible(config: Config, machine: Machine, budget: Budget, findings: Findings, *, starting: bool) -> None:
    """Note what cannot be met here. Looks only at what is sound so far; `starting` is for `infsup start`. Pure."""
    verdict = Verdict(findings, starting=starting)
    if not findings.sound(("pool",)):
        return
    whole = findings.sound(("models",))
    models = {name: model for name, model in config.models.items() if findings.sound(("models", name))}
    config = config.model_copy(update={"models": models})
    _check_cores(config, machine, verdict)
    _check_gpus(config, machine, budget, verdict, whole=whole)
    check_memory(config, machine, budget, verdict, whole=whole)


def _check_cores(config: Config, machine: Machine, verdict: Verdict) -> None:
    path: KeyPath = ("pool", "cores")
    named = machine.cores if config.pool.cores == "auto" else config.pool.cores
    missing = [core for core in named if core not in machine.online]
    present = [core for core in named if core in machine.online]
    if missing:
        note = f"{_numbers(missing)} {'is' if len(missing) == 1 else 'are'} not there"
        verdict.refuse(path, f"cores of this machine: {_numbers(sorted(machine.online))}", note=note)
    elif foreign := [core for core in named if core not in machine.cores]:
        allowed = f"cores that this process may use: {_numbers(machine.cores)}"
        verdict.warn(path, allowed, note=f"binding workers to {_numbers(foreign)} may be refused")
    cores = len(present) or len(machine.cores)
    threads = whole_cores(cores, machine.quota)
    pinned = 0
    for name, model in config.models.items():
        wanted, key = model.device.cpu_threads, ("models", name, "device", "cpu_threads")
        pinned += wanted * model.min_instances
        if wanted > cores:
            verdict.refuse(key, f"0 to {cores}, the cores that there are", serves=True)
        elif wanted > threads:
            note = f"the control group's quota is {machine.quota:g} cores; it will be {threads}"
            verdict.warn(key, f"0 to {threads}", note=note)
    if pinned > threads and verdict.is_clean:
        found = f"{pinned} threads of min_instances on {threads} cores"
        verdict.warn(path, "as many cores as cpu_threads of all min_instances", found=found, note="they share cores")


def _check_gpus(config: Config, machine: Machine, budget: Budget, verdict: Verdict, *, whole: bool) -> None:
    slots = budget.total.gpu
    needy = {name: model for name, model in config.models.items() if gpu_need(model) is Gpu.MUST}
    for name, model in needy.items():
        key: KeyPath = ("models", name, "device", "gpu")
        real = model.engine != "fault"  # it computes nothing, so that slots can be tried out without a GPU
        if not slots:
            allowed = 'false or "auto"; pool.gpu_slots = 1 if there is a GPU that was not found'
            verdict.refuse(key, allowed, note="no GPU can be seen here", serves=model.min_instances == 0)
        elif real and model.device.gpu == "metal" and machine.system != "darwin":
            verdict.refuse(key, 'true, false, "auto", "cuda", "vulkan"', note="only Macs have Metal", serves=True)
        elif real and not machine.gpus:
            verdict.warn(key, 'false or "auto" without a GPU', note="no GPU can be seen here; pool.gpu_slots insists")
    if slots:
        ration = Ration(slots, ("pool", "gpu_slots"), dict.fromkeys(needy, 1), _slots, ("device", "gpu"))
        check_pinned(config, ration, verdict, whole=whole)


def _slots(count: int) -> str:
    return f"{count} GPU slot{'' if count == 1 else 's'}"


def _numbers(cores: tuple[int, ...] | list[int]) -> str:
    """Return core numbers as the configuration writes them: `0-3,6`."""
    parts: list[list[int]] = []
    for core in cores:
        if parts and core == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], core]
        else:
            parts.append([core])
    return ",".join("-".join(map(str, part)) for part in parts)
