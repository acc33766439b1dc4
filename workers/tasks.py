"""Which tasks an engine serves, and the words for one that it does not."""

from infsup.protocol.errors import UnsupportedTask
from infsup.protocol.job import Job

from .engine import Engine


def check_task(engine: Engine, job: Job) -> None:
    """Raise `UnsupportedTask` for a job that the loaded model cannot do."""
    if job.task not in engine.tasks:
        raise UnsupportedTask(
            f"task: found {job.task!r}, the model {job.model!r} serves {listed(engine.tasks)}", param="task"
        )


def listed(names: frozenset[str]) -> str:
    """Return names as words."""
    return ", ".join(sorted(names)) or "nothing"
