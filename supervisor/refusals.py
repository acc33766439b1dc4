"""Why a job is not taken or cannot go on: the scheduler's reasons in words for clients."""

from infsup.protocol.errors import InfsupError, ModelUnavailable, OutOfMemory, QueueFull, WorkerCrashed

from .blame import POISON_DEATHS, POISON_SECONDS
from .decisions import NeverFits


def queue_full(model: str, waiting: int, retry_after: float) -> QueueFull:
    """`waiting` jobs wait already; `retry_after` in seconds."""
    return QueueFull(f"{waiting} jobs wait for model {model!r} already (max_queue)", retry_after=retry_after)


def never_fits(model: str, refusal: NeverFits) -> InfsupError:
    """The machine lacks what the model needs, whatever else is ended."""
    needed, possible = refusal.needed, refusal.possible
    if needed.gpu > possible.gpu:
        return ModelUnavailable(
            f"model {model!r} needs a GPU slot (device.gpu), and there is none for it: pool.gpu_slots less what "
            "min_instances of other models hold",
        )
    return OutOfMemory(
        f"model {model!r} needs about {needed.memory / 1e6:.0f} MB, and at most {possible.memory / 1e6:.0f} MB can "
        "be free for it (pool.memory less what min_instances of other models need)"
    )


def poisoned(model: str) -> WorkerCrashed:
    """The same parameters have ended workers before."""
    return WorkerCrashed(
        f"this request has ended {POISON_DEATHS} workers of {model!r} and is refused for "
        f"{POISON_SECONDS / 60:g} minutes; change it, or clear this with: infsup reset {model}",
        final=True,
    )
