"""Whether the models of a configuration fit into the memory that there is. Pure."""

from .budget import Budget
from .config import Config, ModelConfig
from .config.problems import KeyPath
from .estimate import Estimate
from .feasible_shares import Ration, Verdict, check_pinned
from .machine import Machine

PROCESS_BYTES = 16_000_000
"""What a worker has of its own before it has loaded anything; Python 3.11 with ZeroMQ was measured to need 12 MB."""


def check_memory(config: Config, machine: Machine, budget: Budget, verdict: Verdict, *, whole: bool) -> None:
    """Note models that can never be loaded, and limits that they break as soon as they are."""
    total = budget.total.memory
    if total > machine.memory:
        allowed = f"at most {megabytes(machine.memory)}, the memory of this machine or of its control group"
        verdict.warn(("pool", "memory"), allowed)
    expected = {name: budget.expected(name) for name in config.models}
    guesses = frozenset(name for name, footprint in expected.items() if footprint.learned)
    for name, model in config.models.items():
        path: KeyPath = ("models", name)
        first, footprint = budget.estimates[name], expected[name]
        if footprint.bytes > total:
            cause = _cause(model, first)
            takes = f"an instance takes {megabytes(footprint.bytes)}"
            note = f"{takes}, as earlier ones did" if footprint.learned else f"{takes}: {first}"
            allowed = f"what fits into {megabytes(total)}, which is pool.memory"
            serves = model.min_instances == 0 or footprint.learned
            verdict.refuse((*path, *cause), allowed, found=None if cause else "a model", note=note, serves=serves)
        _check_max_memory(model, path, first, verdict)
    needs = {name: footprint.bytes for name, footprint in expected.items()}
    ration = Ration(total, ("pool", "memory"), needs, megabytes, ())
    check_pinned(config, ration, verdict, whole=whole, guesses=guesses)


def megabytes(count: int) -> str:
    """Return an amount of memory in words."""
    return f"{count / 1e6:.0f} MB"


def _check_max_memory(model: ModelConfig, path: KeyPath, first: Estimate, verdict: Verdict) -> None:
    """Note a limit that an instance breaks by being loaded: it would be replaced again and again."""
    least = PROCESS_BYTES + first.at_load
    if model.max_memory is not None and model.max_memory.bytes < least:
        allowed = f"over {megabytes(least)}, which an instance has of its own once it is loaded"
        verdict.refuse((*path, "max_memory"), allowed, note="it would be replaced for ever", serves=True)


def _cause(model: ModelConfig, first: Estimate) -> KeyPath:
    """Return the key to change so that a model fits."""
    if model.context_size and first.context > first.weights:
        return ("context_size",)
    if model.engine == "fault" and first.at_load > first.weights:
        return ("options", "memory")
    return ("file",) if model.file else ()
