"""Which deaths of workers the faults explain. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .landscape import BY_NAME

AFTERMATH_S = 40.0
"""How long after a fault its model's workers may still die of it: a stop in load is found late, a supervisor that is
stopped itself later still.
"""
_CHANGING = re.compile(r"job-[0-9a-f]+|[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Attack:
    """A fault that may end workers of `model`: from its beginning until the model had recovered, in Unix time."""

    model: str
    began: float
    ended: float


def find_unexplained(deaths: Iterable[Mapping[str, Any]], attacks: Sequence[Attack]) -> list[str]:
    """Return the deaths (as the server tells them) of workers that nothing was done to, in words.

    So nobody may die of a supervisor that was stopped, of a busy box, or of what strangers send. A worker without a job
    that was told to leave and was too slow is no death in this sense: on a busy box that happens.
    """
    return [
        f"{death['instance']} died without a fault: {death['cause']}"
        for death in deaths
        if not BY_NAME[death["model"]].dies
        and not death["cause"].startswith("did not leave within")
        and not any(
            attack.model == death["model"] and attack.began <= death["at"] <= attack.ended + AFTERMATH_S
            for attack in attacks
        )
    ]


def causes_of(deaths: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Count the causes of death; numbers and jobs are left out, so that alike causes are one."""
    return Counter(_CHANGING.sub("…", death["cause"]) for death in deaths)
