"""Which promises a run broke. Pure."""

from collections.abc import Sequence

from .attacks import find_unexplained
from .campaign import Findings
from .client import Ending, Outcome
from .landscape import BYSTANDER, MODELS, RENEWED
from .plan import Manner

GROWTH_DESCRIPTORS = 3
"""How many more descriptors the supervisor may hold afterwards: ZeroMQ closes a stranger's connections lazily."""
GROWTH_BYTES = 12_000_000
"""How much RssAnon may grow: what the allocator keeps of messages of up to 64 MiB and never gives back."""
_ANYWHERE = frozenset({"worker_crashed", "worker_stalled", "model_unavailable", "out_of_memory", "queue_full"})
"""Errors that faults may cause on the models they are aimed at."""


def judge(findings: Findings) -> list[str]:
    """Return every broken promise in words; none is what is wanted."""
    problems = list(findings.problems)
    for outcome in findings.outcomes:
        problem = outcome.problem or _unexpected(outcome, findings.gateway_kills)
        if problem:
            request = outcome.request
            problems.append(
                f"{request.model}: {request.manner.value}, {request.prompt[:60]!r}, stream={request.stream}, "
                f"ended after {outcome.ended - outcome.began:.2f} s: {problem}"
            )
    problems += find_unexplained(findings.deaths, findings.attacks)
    return problems + _growth(findings)


def _unexpected(outcome: Outcome, gateway_kills: Sequence[float]) -> str:
    request = outcome.request
    if outcome.ending is Ending.DROPPED:
        killed = any(outcome.began <= at <= outcome.ended for at in gateway_kills)
        return "" if killed else f"the connection was lost ({outcome.code}) though no gateway was killed"
    if outcome.ending is not Ending.ERROR:
        return ""
    allowed = {"deadline_exceeded"} if request.timeout_s is not None else set[str]()
    if request.manner is Manner.ORDERS and "!hang" in request.prompt:
        allowed.add("deadline_exceeded")  # beside jobs that get on, its worker does make progress
    if request.pause_s:
        allowed.add("slow_consumer")
    if request.model != BYSTANDER and not request.model.startswith(RENEWED):
        allowed |= _ANYWHERE
    return "" if outcome.code in allowed else f"the error {outcome.code} has no cause here"


def _growth(findings: Findings) -> list[str]:
    before, after = findings.before, findings.after
    if before is None or after is None:
        return ["the run did not come to its end"]
    problems: list[str] = []
    if after.descriptors > before.descriptors + GROWTH_DESCRIPTORS:
        problems.append(f"descriptors of the supervisor grew from {before.descriptors} to {after.descriptors}")
    if after.rss_anon > before.rss_anon + GROWTH_BYTES:
        grown = f"from {before.rss_anon / 1e6:.1f} to {after.rss_anon / 1e6:.1f} MB"
        problems.append(f"RssAnon of the supervisor grew {grown}")
    return problems


def never_served(findings: Findings) -> list[str]:
    """Return the models that can load and yet never answered a request."""
    served = {outcome.request.model for outcome in findings.outcomes if outcome.ending is Ending.SUCCESS}
    return [model.name for model in MODELS if model.serves and model.name not in served]
