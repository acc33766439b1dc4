"""Starts worker processes: their cores and threads, their environment, their priority."""

import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable

from .config import ModelConfig
from .config.engines import is_custom
from .cores import CoreLeases, threads_for
from .instance import Instance
from .lifecycle import Transition
from .process import ChildProcess, LogRing
from .worker_env import oversubscribed, worker_environment

log = logging.getLogger("infsup.pool")

NICENESS, OOM_SCORE = 5, 500


class Spawner:
    """Makes instances with a running process. Owns the core leases."""

    def __init__(self, endpoint: str, cores: CoreLeases, core_count: int) -> None:
        """`endpoint` is where workers connect to."""
        self.run_id = secrets.token_hex(8)
        self.cores = cores
        self._endpoint = endpoint
        self._core_count = core_count
        self._shared = False

    def plan_for(self, models: Iterable[ModelConfig]) -> None:
        """Find out whether instances would share cores if all of them ran."""
        wanted = [self.threads(one) for one in models if leases_cores(one) for _ in range(one.max_instances)]
        self._shared = oversubscribed(wanted, self._core_count)

    def prepare(
        self,
        name: str,
        model: ModelConfig,
        instance_id: str,
        *,
        gpu: bool,
        now: float,
        on_exit: Callable[[Instance], None],
        on_transition: Callable[[Transition], None],
    ) -> Instance:
        """Return an instance with its core lease and a token, not started yet. `now` is on the loop's clock."""
        ring = LogRing(lambda line: log.debug("%s: %s", instance_id, line))
        instance = Instance(
            id=instance_id,
            model=name,
            config=model,
            token=secrets.token_bytes(16),
            process=ChildProcess(instance_id, lambda _child: on_exit(instance), ring),
            cores=self.cores.take(instance_id, self.threads(model)) if leases_cores(model) else (),
            gpu=gpu,
            started_at=now,
            on_transition=on_transition,
            wall=time.time,
            beat_at=now,
            progress_at=now,
            last_used_wall=time.time(),
        )
        return instance

    def start(self, instance: Instance) -> None:
        """Start the process. Raises `OSError`."""
        env = worker_environment(
            os.environ,
            instance.config,
            endpoint=self._endpoint,
            token=instance.token,
            parent=os.getpid(),
            run_id=self.run_id,
            threads=self.threads(instance.config),
            shared_cores=self._shared,
        )
        process = instance.process
        process.start("infsup.workers", env, python=str(instance.config.python or ""))
        process.be_nice(NICENESS, OOM_SCORE)
        process.pin(instance.cores)
        log.info("%s: spawned, pid %d, cores %s", instance.id, process.pid, ",".join(map(str, instance.cores)))

    def threads(self, model: ModelConfig) -> int:
        """Return how many threads an instance of the model uses."""
        if not leases_cores(model):
            return 1
        return threads_for(model.device.cpu_threads, model.max_instances, self._core_count)


def leases_cores(model: ModelConfig) -> bool:
    """Whether instances get cores of their own: a custom engine may do no more than ask others, so it has to say."""
    return model.device.cpu_threads > 0 or not is_custom(model.engine)
