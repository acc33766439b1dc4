"""The server that chaos is brought to: its models, and what each of them is there for."""

from dataclasses import dataclass

TIMEOUT_S = 30.0
"""`timeout` of every model: no request may take longer."""
STALL_S, BEAT_S, LOAD_S, START_S = 5.0, 4.0, 8.0, 12.0
"""In this order a frozen worker is found by its missing beats, and one that hangs and beats by its lack of progress."""
BYSTANDER = "bystander"

_COMMON = f"""
task = "text-completion"
engine = "fault"
timeout = {TIMEOUT_S:g}
beat_interval = 0.5
beat_timeout = {BEAT_S:g}
stall_timeout = {STALL_S:g}
load_timeout = {LOAD_S:g}
cancel_grace = 1
"""


@dataclass(frozen=True, slots=True)
class Model:
    """One model. `share` is how often clients ask for it; `victim`: faults are aimed at it; `serves`: it can load."""

    name: str
    settings: str
    share: float
    victim: bool = True
    serves: bool = True
    instances: int = 1
    start_s: float = START_S


MODELS = (
    # Nobody injures it: its worker must live from the first moment to the last, and none of its answers may fail.
    Model(BYSTANDER, "min_instances = 1\nttl = -1\nmax_restarts = 0", 3, victim=False),
    Model("single", "min_instances = 1\nmax_restarts = -1", 3),
    Model("pair", "min_instances = 1\nmax_instances = 2\nttl = 2\nmax_restarts = -1", 3, instances=2),
    Model("batch", "min_instances = 1\nparallel = 4\nmax_restarts = -1\noptions = { capacity = 4 }", 4),
    Model("unloading", "ttl = 0\nmax_restarts = -1", 1),
    Model("slow-load", "ttl = 1\nmax_restarts = -1\noptions = { load_delay = 1.0 }", 1),
    Model("stubborn", "ttl = 2\nmax_restarts = -1\noptions = { ignore_sigterm = true }", 1),
    Model("deaf", "ttl = 2\nmax_restarts = -1\noptions = { ignore_cancel = true }", 1),
    Model("fragile", "ttl = 5\nmax_restarts = 1\nrestart_window = 5", 1),  # its circuit opens and closes
    Model("broken", 'max_restarts = 1\noptions = { load_fail = "ordered" }', 0.3, victim=False, serves=False),
    Model(
        "mute",
        "max_restarts = 1\noptions = { no_hello = true }",
        0.2,
        victim=False,
        serves=False,
        start_s=2.0,
    ),
)


def configuration() -> str:
    """Return the configuration file."""
    return "".join(
        f"[models.{model.name}]{_COMMON}start_timeout = {model.start_s:g}\n{model.settings}\n\n" for model in MODELS
    )
