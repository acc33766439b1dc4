"""What a worker process gets from the supervisor: its environment and its order to load. Pure."""

from collections.abc import Mapping, Sequence

from infsup.protocol.messages import LoadOrder
from infsup.protocol.spec import DeviceSpec

from .config import ModelConfig

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_NOT_FOR_WORKERS = (
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
)


def worker_environment(
    base: Mapping[str, str],
    model: ModelConfig,
    *,
    endpoint: str,
    token: bytes,
    parent: int,
    run_id: str,
    threads: int,
    shared_cores: bool,
) -> dict[str, str]:
    """Return the environment of a worker.

    With `shared_cores` threads wait passively: spinning at barriers on a core that another process uses costs both
    nearly all their speed.
    """
    env = {name: value for name, value in base.items() if name not in _NOT_FOR_WORKERS}
    env |= dict.fromkeys(_THREAD_VARIABLES, str(threads))
    env |= {
        "INFSUP_WORKER_ENDPOINT": endpoint,
        "INFSUP_WORKER_TOKEN": token.hex(),
        "INFSUP_PARENT_PID": str(parent),
        "INFSUP_RUN_ID": run_id,
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "GGML_NO_BACKTRACE": "1",
    }
    if shared_cores:
        env["OMP_WAIT_POLICY"] = "passive"
    if model.engine == "fault":
        for option in ("no_hello", "ignore_sigterm"):
            if model.options.get(option):
                env[f"INFSUP_FAULT_{option.upper()}"] = "1"
    return env


def load_order(name: str, model: ModelConfig, instance: str, *, threads: int, gpu: bool) -> LoadOrder:
    """Return what the worker is to load."""
    device = DeviceSpec(
        gpu=gpu,
        gpu_backend=model.device.gpu if isinstance(model.device.gpu, str) and model.device.gpu != "auto" else "",
        gpu_layers=model.device.gpu_layers,
        cpu_threads=threads,
        mem_lock=model.device.mem_lock,
    )
    files = {component: reference.file for component, reference in model.files.items() if reference.file}
    spec = model.to_spec(name, device, model.file, files)
    return LoadOrder(instance=instance, model=spec, beat_interval=model.beat_interval)


def oversubscribed(wanted_threads: Sequence[int], cores: int) -> bool:
    """Say whether instances would share cores if all of them ran; `wanted_threads` has one entry per instance."""
    return sum(wanted_threads) > cores
