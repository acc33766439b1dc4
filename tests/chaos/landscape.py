"""The server that chaos is brought to: its models, and what each of them is there for."""

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 30.0
"""`timeout` of every model: no request may take longer."""
STALL_S, BEAT_S, LOAD_S, START_S = 5.0, 4.0, 8.0, 12.0
"""In this order a frozen worker is found by its missing beats, and one that hangs and beats by its lack of progress."""
MAX_MEMORY_MB, LEAK_MB = 150, 300
BYSTANDER, RENEWED, LEAKY = "bystander", "renewed", "leaky"

_POOL = """
[pool]
gpu_slots = 1
swap_patience = 1.0
"""
_COMMON = f"""
task = "text-completion"
timeout = {TIMEOUT_S:g}
beat_interval = 0.5
beat_timeout = {BEAT_S:g}
stall_timeout = {STALL_S:g}
prefill_timeout = {STALL_S:g}
cancel_grace = 1
"""


@dataclass(frozen=True, slots=True)
class Model:
    """One model. `share` is how often clients ask for it; `victim`: faults are aimed at it; `serves`: it can load.

    `dies`: its workers are ended without any fault, since they do not do what they are told.
    """

    name: str
    settings: str
    share: float
    victim: bool = True
    serves: bool = True
    dies: bool = False
    instances: int = 1
    start_s: float = START_S
    load_s: float = LOAD_S
    gpu: bool | str = False
    file: str = ""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def obeys(self) -> bool:
        """Whether it is of the fault engine."""
        return not self.file

    def order_file(self, directory: Path) -> Path:
        """Return the file whose order its next load obeys."""
        return directory / f"{self.name}.order"


MODELS = (
    # Nobody injures it: its worker must live from the first moment to the last, and none of its answers may fail.
    Model(BYSTANDER, "min_instances = 1\nttl = -1\nmax_restarts = 0", 3, victim=False),
    Model("single", "min_instances = 1\nmax_restarts = -1", 3),
    Model("pair", "min_instances = 1\nmax_instances = 2\nttl = 2\nmax_restarts = -1", 3, instances=2),
    Model("batch", "min_instances = 1\nparallel = 4\nmax_restarts = -1", 4, options={"capacity": 4}),
    Model("unloading", "ttl = 0\nmax_restarts = -1", 1),
    Model("slow-load", "ttl = 1\nmax_restarts = -1", 1, options={"load_delay": 1.0}),
    Model("stubborn", "ttl = 2\nmax_restarts = -1", 1, dies=True, options={"ignore_sigterm": True}),
    Model("deaf", "ttl = 2\nmax_restarts = -1", 1, dies=True, options={"ignore_cancel": True}),
    Model("fragile", "ttl = 5\nmax_restarts = 1\nrestart_window = 5", 1),  # its circuit opens and closes
    # Two instances only while one replaces the other.
    Model(LEAKY, f'min_instances = 1\nmax_memory = "{MAX_MEMORY_MB}MB"\nmax_restarts = -1', 1, instances=2),
    # One slot for three: two must have it, one takes it when it is free.
    Model("gpu-a", "ttl = 2\nmax_restarts = -1", 0.7, gpu=True),
    Model("gpu-b", "ttl = 2\nmax_restarts = -1", 0.7, gpu=True),
    Model("gpu-auto", "ttl = 1\nmax_restarts = -1", 0.5, gpu="auto"),
    # A reload changes this one and no other; no fault is aimed at it.
    Model(RENEWED, "ttl = 2\nmax_restarts = 0", 0.7, victim=False),
    # Real engines: greedy answers that are known beforehand.
    Model("tiny-onnx", "min_instances = 1\nmax_restarts = -1", 1.5, load_s=20, start_s=20, file="tiny.onnx"),
    *(
        [Model("tiny-llama", "ttl = 4\nmax_restarts = -1", 0.7, load_s=20, start_s=20, file="tiny.f16.gguf")]
        if importlib.util.find_spec("llama_cpp")
        else []
    ),
    Model("broken", "max_restarts = 1", 0.3, victim=False, serves=False, dies=True, options={"load_fail": "ordered"}),
    Model(
        "mute", "max_restarts = 1", 0.2, victim=False, serves=False, dies=True, start_s=2.0, options={"no_hello": True}
    ),
)
BY_NAME = {model.name: model for model in MODELS}


def configuration(directory: Path, edition: int = 0) -> str:
    """Return the configuration file. `directory` is where orders for loads are put.

    Another `edition` differs in one model: it is to be loaded anew, and its alias is `edition_alias(edition)`.
    """
    return _POOL + "".join(_model(model, directory, edition) for model in MODELS)


def edition_alias(edition: int) -> str:
    """Return the name under which `RENEWED` is known in that edition of the configuration only."""
    return f"{RENEWED}-{edition}"


def _model(model: Model, directory: Path, edition: int) -> str:
    options = dict(model.options)
    lines = [f"\n[models.{model.name}]{_COMMON}{model.settings}"]
    if model.name == RENEWED:
        lines.append(f'aliases = ["{edition_alias(edition)}"]')
        options["token_delay"] = edition / 1e6
    if model.obeys:
        lines.append('engine = "fault"')
        options["load_order_file"] = str(model.order_file(directory))
        lines.append(f"options = {{ {', '.join(f'{key} = {json.dumps(value)}' for key, value in options.items())} }}")
    else:
        engine = "onnx" if model.file.endswith(".onnx") else "llama-cpp"
        lines.append(f'engine = "{engine}"\nfile = {json.dumps(str(ROOT / "workers" / "models" / model.file))}')
        lines.append("defaults = { temperature = 0 }")
    lines.append(f"start_timeout = {model.start_s:g}\nload_timeout = {model.load_s:g}")
    lines.append(f"device = {{ gpu = {json.dumps(model.gpu)}, cpu_threads = 1 }}")
    return "\n".join(lines) + "\n"
