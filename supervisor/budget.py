"""What instances need of the machine's memory and GPU: estimated at first, learned while they run."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from .config import Config, ModelConfig
from .config.engines import is_custom
from .decisions import ModelLimits
from .estimate import Estimate, estimate
from .footprint import Footprint, FootprintStore
from .host import process_memory
from .instance import Instance
from .machine import Machine, read_machine
from .room import Gpu, Needs, Share
from .weights import Weights, weigh_all


class Budget:
    """Knows the total, and for each model what an instance takes. Call `observe` for running instances now and then."""

    def __init__(
        self, config: Config, machine: Machine | None = None, weights: Mapping[str, Weights] | None = None
    ) -> None:
        """Read the store, and what is not given: look at the machine and the models' files. May block."""
        self._machine = machine or read_machine()
        self._store = FootprintStore(config.store.path)
        self._config = config
        self.total = Share()
        self.estimates: dict[str, Estimate] = {}
        self.adopt(config, weigh_all(config.models) if weights is None else weights)

    def adopt(self, config: Config, weights: Mapping[str, Weights]) -> None:
        """Take over another configuration, and what `weigh_all` found of its models; what was learned stays."""
        self._config = config
        wanted = config.pool.gpu_slots
        slots = min(1, self._machine.gpus) if wanted == "auto" else wanted
        self.total = Share(config.pool.memory.of(self._machine.memory), slots)
        self.estimates = {name: estimate(model, weights.get(name, Weights())) for name, model in config.models.items()}

    def __contains__(self, name: str) -> bool:
        """Whether the configuration has this model."""
        return name in self._config.models

    def limits(self, name: str) -> ModelLimits:
        """Return what the scheduler has to know of a model."""
        model = self._config.models[name]
        return ModelLimits(
            name,
            model.min_instances,
            model.max_instances,
            model.parallel,
            model.max_queue,
            model.ttl,
            Needs(self.expected(name).bytes, gpu_need(model)),
        )

    def expected(self, name: str) -> Footprint:
        """Return what an instance of a model will need.

        What an earlier run grew to, a leak perhaps, must not lock a model out for ever: more than can be free for it
        counts only as far as the estimate does.
        """
        first = self.estimates[name].bytes
        model = self._config.models[name]
        learned = self._learned(model)
        if learned is None:
            return Footprint(first, learned=False)
        room = (self.total.memory - self._pinned_beside(name)) // max(1, model.min_instances)
        if learned.bytes > room:
            return replace(learned, bytes=min(learned.bytes, max(room, first)))
        return learned

    def observe(self, instance: Instance) -> None:
        """Note what an instance uses now: mapped weights are not in its own memory, but the machine needs them."""
        memory = process_memory(instance.process.pid) if instance.loaded is not None else None
        if memory is not None:
            key = instance.config.load_key()
            self._store.observe(
                _on_gpu(key) if instance.gpu else key,
                memory.own,
                run=instance.id,
                mapped_bytes=memory.mapped,
                load_seconds=instance.loaded.load_seconds if instance.loaded else None,
            )

    def save(self) -> None:
        """Keep what was learned for the next start."""
        self._store.save()

    async def save_apart(self) -> None:
        """The same in a thread: a worn memory card may take seconds."""
        content = self._store.take_news()
        if content:
            await asyncio.to_thread(self._store.write, content)

    def _learned(self, model: ModelConfig) -> Footprint | None:
        """Return the most that runs took, on whichever device it may run."""
        key, need = model.load_key(), gpu_need(model)
        keys = ([] if need is Gpu.MUST else [key]) + ([] if need is Gpu.NO else [_on_gpu(key)])
        found = [footprint for one in keys if (footprint := self._store.learned(one))]
        return max(found, key=lambda one: one.bytes, default=None)

    def _pinned_beside(self, name: str) -> int:
        """Return the memory that `min_instances` of the other models hold."""
        pinned = 0
        for other, model in self._config.models.items():
            if model.min_instances and other != name:
                learned = self._learned(model)
                pinned += model.min_instances * (learned.bytes if learned else self.estimates[other].bytes)
        return min(pinned, self.total.memory)


def gpu_need(model: ModelConfig) -> Gpu:
    """Return whether a model needs a GPU slot. A custom engine takes none unless the configuration says so."""
    if is_custom(model.engine) and "gpu" not in model.device.model_fields_set:
        return Gpu.NO
    match model.device.gpu:
        case False:
            return Gpu.NO
        case "auto":
            return Gpu.AUTO
        case _:
            return Gpu.MUST


def _on_gpu(key: str) -> str:
    return f"{key}-gpu"
