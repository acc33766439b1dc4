"""What instances need of the machine's memory and GPU, learned while they run."""

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path

from .config import Config, ModelConfig
from .decisions import ModelLimits
from .footprint import FootprintStore
from .host import find_gpus, process_memory, total_memory
from .instance import Instance
from .room import Gpu, Needs, Share

log = logging.getLogger("infsup.budget")


class Budget:
    """Knows the total, and for each model what an instance takes. Call `observe` for running instances now and then."""

    def __init__(self, config: Config) -> None:
        """Read the store and look at the machine."""
        self._models: Mapping[str, ModelConfig] = config.models
        self._store = FootprintStore(config.store.path)
        wanted = config.pool.gpu_slots
        slots = min(1, find_gpus()) if wanted == "auto" else wanted
        self.total = Share(config.pool.memory.of(total_memory()), slots)

    def limits(self, name: str) -> ModelLimits:
        """Return what the scheduler has to know of a model."""
        model = self._models[name]
        return ModelLimits(
            name,
            model.min_instances,
            model.max_instances,
            model.parallel,
            model.max_queue,
            model.ttl,
            Needs(self._memory(model), _gpu(model)),
        )

    def observe(self, instance: Instance) -> None:
        """Note what an instance uses now: mapped weights are not in its own memory, but the machine needs them."""
        memory = process_memory(instance.process.pid) if instance.loaded is not None else None
        if memory is not None:
            self._store.observe(
                self._key(instance),
                memory.own,
                run=instance.id,
                mapped_bytes=memory.mapped,
                load_seconds=instance.loaded.load_seconds if instance.loaded else None,
            )

    def save(self) -> None:
        """Keep what was learned for the next start."""
        self._store.save()

    def _memory(self, model: ModelConfig) -> int:
        return self._store.estimate(model.load_key(), _file_sizes(model)).bytes

    def _key(self, instance: Instance) -> str:
        key = self._models[instance.model].load_key()
        return f"{key}-gpu" if instance.gpu else key


def _gpu(model: ModelConfig) -> Gpu:
    match model.device.gpu:
        case False:
            return Gpu.NO
        case "auto":
            return Gpu.AUTO
        case _:
            return Gpu.MUST


def _file_sizes(model: ModelConfig) -> list[int]:
    sizes: list[int] = []
    for path in (model.file, *(part.file for part in model.files.values())):
        if path is not None:
            with contextlib.suppress(OSError):
                sizes.append(_size(path))
    return sizes


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size
