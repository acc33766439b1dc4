"""Loads a configuration for this machine: checked against what there is, and with what is left to us decided.

The one way in for `infsup start`, `infsup check` and a reload. It reads files and looks at /proc and /sys, so in a
running server it belongs into a thread.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .budget import Budget
from .config import Config, ModelConfig, Problem, load_config
from .config.problems import Findings, KeyPath
from .estimate import context_that_fits
from .feasible import check_feasible
from .machine import Machine, read_machine
from .weights import Weights, weigh_all

log = logging.getLogger("infsup.config")


@dataclass(frozen=True, slots=True)
class LocalConfig:
    """A configuration that this machine can serve.

    `budget` is what its models need here, for a server that starts; one that runs `adopt`s the `weights`.
    """

    config: Config
    budget: Budget
    weights: Mapping[str, Weights]
    warnings: tuple[Problem, ...] = ()


def load_here(
    path: Path | None,
    *,
    server: Mapping[str, object] | None = None,
    starting: bool = True,
    machine: Machine | None = None,
) -> LocalConfig:
    """Read, check and complete a configuration file as `load_config` does, for this machine.

    `starting` lets pass what only some models suffer from (see `feasible.py`), as a warning.
    Raises `ConfigError` with every mistake, those of the file and those that only this machine makes one.
    """
    fit = _Fit(machine or read_machine(), starting=starting)
    config = load_config(path, server=server, fit=fit)
    return LocalConfig(config, Budget(config, fit.machine, fit.weights), fit.weights, fit.warnings)


def log_warnings(warnings: Iterable[Problem]) -> None:
    """Write warnings into the log."""
    for warning in warnings:
        log.warning("%s", warning)


class _Fit:
    """What `load_config` asks to adapt a configuration; keeps what it found."""

    def __init__(self, machine: Machine, *, starting: bool) -> None:
        self.machine = machine
        self.weights: dict[str, Weights] = {}
        self.warnings: tuple[Problem, ...] = ()
        self._starting = starting

    def __call__(self, config: Config, findings: Findings) -> Config:
        sound = {name: model for name, model in config.models.items() if findings.sound(("models", name))}
        self.weights = weigh_all(sound)
        models = {name: self._with_context(name, config, findings) for name in sound}
        config = config.model_copy(update={"models": {**config.models, **models}})
        budget = Budget(config, self.machine, self.weights)
        check_feasible(config, self.machine, budget, findings, starting=self._starting)
        self.warnings = findings.warnings()
        return config

    def _with_context(self, name: str, config: Config, findings: Findings) -> ModelConfig:
        """Give a model that shall have the context it was trained for a smaller one where memory asks for it."""
        model, weights = config.models[name], self.weights[name]
        path: KeyPath = ("models", name, "context_size")
        if weights.problem:
            note = f"{weights.problem}; its memory is estimated by size alone"
            findings.warn((*path[:-1], "file"), "a file that can be read", note=note)
        trained = weights.facts.context_length if weights.facts else 0
        if trained and model.context_size > trained:
            findings.warn(path, f"at most {trained} tokens, which the model was trained for")
        pinned = sum(one.min_instances for one in config.models.values())
        instances = pinned if model.min_instances else pinned + 1
        size = context_that_fits(model, weights, config.pool.memory.of(self.machine.memory) // instances)
        if not size:
            return model
        note = "there is no memory for more, so it is this"
        findings.warn(path, f"at most {size} tokens", found=f"the model's own {trained} tokens", note=note)
        return model.model_copy(update={"context_size": size})
