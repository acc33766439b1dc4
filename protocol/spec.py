"""What a worker is asked to load: the part of a model's configuration that crosses to its process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """Where to run. `gpu_layers` -1 = all that fit; `cpu_threads` is the number to use, already decided."""

    gpu: bool = False
    gpu_backend: str = ""
    gpu_layers: int = -1
    cpu_threads: int = 1
    mem_lock: bool = False


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model for one worker. Paths are absolute; `context_size` 0 = the model's own, in tokens for one sequence."""

    name: str
    task: str
    engine: str
    file: str = ""
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    context_size: int = 0
    batch_size: int = 512
    parallel: int = 1
    device: DeviceSpec = DeviceSpec()
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    preload: Mapping[str, Any] = field(default_factory=dict[str, Any])
    grammars: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tools: Mapping[str, Any] = field(default_factory=dict[str, Any])
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
