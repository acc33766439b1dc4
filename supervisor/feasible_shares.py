"""What `min_instances` hold for ever of memory or GPU slots, and what that leaves for the others. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .config import Config
from .config.problems import Findings, KeyPath


class Verdict:
    """Notes what cannot be met: as a mistake, or as a warning where a server that starts can live with it."""

    def __init__(self, findings: Findings, *, starting: bool) -> None:
        """`starting` is for `infsup start`, else it is for `infsup check`."""
        self._findings = findings
        self._starting = starting
        self.is_clean = True

    def refuse(
        self, path: KeyPath, allowed: str, *, found: str | None = None, note: str = "", serves: bool = False
    ) -> None:
        """Note what cannot be met. `serves` says that a server with it can serve everything else."""
        self.is_clean = False
        if self._starting and serves:
            self._findings.warn(path, allowed, found=found, note=note)
        else:
            self._findings.add(path, allowed, found=found, note=note)

    def warn(self, path: KeyPath, allowed: str, *, found: str | None = None, note: str = "") -> None:
        """Note what can be met, but hardly as it was meant."""
        self._findings.warn(path, allowed, found=found, note=note)


@dataclass(frozen=True, slots=True)
class Ration:
    """Something that instances hold as long as they live."""

    total: int
    key: KeyPath
    """Where the configuration says how much there is."""
    needs: Mapping[str, int]
    """What one instance of each model takes."""
    show: Callable[[int], str]
    """An amount in words."""
    model_key: KeyPath
    """The key of a model for which an instance takes it."""


def check_pinned(
    config: Config, ration: Ration, verdict: Verdict, *, whole: bool, guesses: frozenset[str] = frozenset()
) -> None:
    """Note `min_instances` that cannot be kept, and models for which they leave nothing.

    `whole` says that all models are known. `guesses` are models whose need is no reason to refuse a start.
    """
    pinned: dict[str, int] = {}
    for name, need in ration.needs.items():
        count = config.models[name].min_instances
        if need > ration.total:
            continue  # noted already, as a need of one instance
        if need * count > ration.total:
            allowed = f"0 to {ration.total // need}: one takes {ration.show(need)} of {ration.show(ration.total)}"
            verdict.refuse(("models", name, "min_instances"), allowed, serves=name in guesses)
        else:
            pinned[name] = need * count
    held = sum(pinned.values())
    if held > ration.total:
        parts = ", ".join(f"{name} {ration.show(part)}" for name, part in pinned.items() if part)
        found = ration.show(ration.total)
        allowed = f"at least {ration.show(held)}, which min_instances hold together"
        verdict.refuse(ration.key, allowed, found=found, note=parts, serves=bool(guesses & pinned.keys()))
    elif whole:
        _check_rest(config, ration, ration.total - held, verdict)


def _check_rest(config: Config, ration: Ration, rest: int, verdict: Verdict) -> None:
    for name, need in ration.needs.items():
        if not config.models[name].min_instances and rest < need <= ration.total:
            allowed = f"at most {ration.show(rest)} of {ration.show(ration.total)}: min_instances hold the rest"
            found = f"{ration.show(need)} for an instance"
            verdict.refuse(("models", name, *ration.model_key), allowed, found=found, serves=True)
