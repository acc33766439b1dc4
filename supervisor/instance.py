"""One instance: a worker process, its state and what is known of it. Owned by the pool."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from infsup.protocol.messages import Beat, Loaded

from .causes import Cause
from .config import ModelConfig
from .lifecycle import FINAL, State, Transition, check_transition
from .process import ChildProcess

MEMORY_SAMPLES = 60


@dataclass(slots=True)
class Instance:
    """The record of an instance. Times are on the loop's clock unless they say wall. `cause` is set before a kill."""

    id: str
    model: str
    config: ModelConfig
    """What it was started with; limits that a reload changed are taken over, see `Pool.adjust`."""
    token: bytes
    process: ChildProcess
    cores: tuple[int, ...]
    gpu: bool
    started_at: float
    on_transition: Callable[[Transition], None]
    wall: Callable[[], float]
    state: State = State.STARTING
    loaded: Loaded | None = None
    jobs: set[str] = field(default_factory=set[str])
    served: int = 0
    last_used_wall: float = 0.0
    beat_at: float = 0.0
    phase: str = "starting"
    progress: int = 0
    progress_at: float = 0.0
    memory: deque[int] = field(default_factory=lambda: deque[int](maxlen=MEMORY_SAMPLES))
    context_used: int = 0
    cause: Cause | None = None
    dumping: bool = False

    @property
    def engine(self) -> str:
        """The engine's name."""
        return self.config.engine

    def move(self, after: State, reason: str = "") -> None:
        """Change the state. Raises `TransitionError` for a step that the table does not allow."""
        if after is self.state:
            return
        check_transition(self.id, self.state, after)
        step = Transition(self.id, self.model, self.state, after, self.wall(), reason)
        self.state = after
        self.on_transition(step)

    @property
    def ended(self) -> bool:
        """Whether the process is gone and the record only history."""
        return self.state in FINAL

    @property
    def serving(self) -> bool:
        """Whether it can have jobs."""
        return self.state in {State.IDLE, State.BUSY}

    def note_beat(self, beat: Beat, now: float) -> None:
        """Take a sign of life."""
        self.beat_at = now
        if beat.phase != self.phase or beat.progress != self.progress:
            self.progress_at = now
        self.phase, self.progress, self.context_used = beat.phase, beat.progress, beat.context_used
        self.memory.append(beat.rss_anon)

    def note_progress(self, now: float) -> None:
        """A message about a job is progress too."""
        self.beat_at = self.progress_at = now

    def forgive(self, seconds: float) -> None:
        """Count silence as that much shorter: the supervisor itself did not listen."""
        self.started_at += seconds
        self.beat_at += seconds
        self.progress_at += seconds
