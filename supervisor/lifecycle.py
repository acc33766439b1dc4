"""The life of an instance: its states, and the table of allowed transitions. Nobody else decides about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """Where an instance is in its life."""

    STARTING = "starting"
    """The process is spawned and has not said hello yet."""
    LOADING = "loading"
    """It said hello and loads the model."""
    IDLE = "idle"
    """Loaded, no job."""
    BUSY = "busy"
    """At least one job; it may have room for more."""
    DRAINING = "draining"
    """Gets no more jobs; ends when the running ones have ended."""
    STOPPED = "stopped"
    """Ended as asked. Final."""
    CRASHED = "crashed"
    """The process died by itself. Final."""
    KILLED = "killed"
    """The supervisor ended it by force. Final."""


_EVERYWHERE = frozenset({State.CRASHED, State.KILLED})
TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.STARTING: frozenset({State.LOADING, State.DRAINING, State.STOPPED}) | _EVERYWHERE,
    State.LOADING: frozenset({State.IDLE, State.DRAINING, State.STOPPED}) | _EVERYWHERE,
    State.IDLE: frozenset({State.BUSY, State.DRAINING}) | _EVERYWHERE,
    State.BUSY: frozenset({State.IDLE, State.DRAINING}) | _EVERYWHERE,
    State.DRAINING: frozenset({State.STOPPED}) | _EVERYWHERE,
    State.STOPPED: frozenset(),
    State.CRASHED: frozenset(),
    State.KILLED: frozenset(),
}
FINAL = frozenset({State.STOPPED, State.CRASHED, State.KILLED})


class TransitionError(Exception):
    """A transition that the table does not allow: a bug in the supervisor, never the user's fault."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One step in an instance's life, as logs, metrics and the event stream get it. `at` is wall-clock time."""

    instance: str
    model: str
    before: State
    after: State
    at: float
    reason: str = ""


def check_transition(instance: str, before: State, after: State) -> None:
    """Raise `TransitionError` unless the table allows the step."""
    if after not in TRANSITIONS[before]:
        raise TransitionError(f"{instance}: {before.value} → {after.value} is not allowed")
