"""What differs between two configurations, and what it takes to get from one to the other. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from .config import Config
from .config.tables import Table


class Effect(Enum):
    """When a changed key of a table other than a model's takes effect."""

    LIVE = "the running supervisor takes it over"
    GATEWAY = "gateways get it when they start: they are to be replaced one by one, the supervisor stays"
    RESTART = "only a restart of the server can change it"


EFFECTS = {
    "server.host": Effect.RESTART,
    "server.port": Effect.RESTART,
    "server.gateways": Effect.RESTART,
    "server.api_keys": Effect.GATEWAY,
    "server.api_keys_file": Effect.LIVE,  # its keys are among `api_keys`
    "server.insecure": Effect.LIVE,  # only `check` asks for it
    "server.cors_origins": Effect.GATEWAY,
    "server.max_body": Effect.GATEWAY,
    "pool.concurrency": Effect.LIVE,
    "pool.memory": Effect.LIVE,
    "pool.gpu_slots": Effect.RESTART,
    "pool.cores": Effect.RESTART,
    "pool.swap_patience": Effect.LIVE,
    "pool.drain_timeout": Effect.LIVE,
    "pool.prepare_concurrency": Effect.LIVE,
    "store.path": Effect.RESTART,
    "log.level": Effect.RESTART,
    "log.format": Effect.RESTART,
}
"""Keys that are not here need a restart. A reload refuses those, and names them, or leaves them as they are."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Models and keys that differ, each in the new configuration's order (removed models: the old one's)."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """Models whose instances have to be loaded anew: their load key differs."""
    adjusted: tuple[str, ...] = ()
    """Models whose instances stay: only names, limits, timeouts or counts differ."""
    live: tuple[str, ...] = ()
    """Keys such as `pool.memory` that take effect at once."""
    gateway: tuple[str, ...] = ()
    """Keys such as `server.api_keys` that need new gateway processes."""
    server_restart_needed: tuple[str, ...] = ()
    """Keys such as `server.port` that only a restart can change."""

    def __bool__(self) -> bool:
        """Tell whether anything differs."""
        return self != Changes()

    def __str__(self) -> str:
        """Return one line for the log, with names of models and keys only, never values."""
        parts = (
            ("added", self.added),
            ("removed", self.removed),
            ("to be loaded anew", self.changed),
            ("adjusted", self.adjusted),
            ("taken over", self.live),
            ("for new gateways", self.gateway),
            ("only after a restart", self.server_restart_needed),
        )
        return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts if names) or "nothing has changed"


def compare(old: Config, new: Config) -> Changes:
    """Return what differs. Both have been checked."""
    common = [name for name in new.models if name in old.models]
    changed = tuple(name for name in common if old.models[name].load_key() != new.models[name].load_key())
    keys = list(_different_keys(old, new))
    return Changes(
        added=tuple(name for name in new.models if name not in old.models),
        removed=tuple(name for name in old.models if name not in new.models),
        changed=changed,
        adjusted=tuple(name for name in common if name not in changed and old.models[name] != new.models[name]),
        live=_with_effect(keys, Effect.LIVE),
        gateway=_with_effect(keys, Effect.GATEWAY),
        server_restart_needed=_with_effect(keys, Effect.RESTART),
    )


def keep_fixed(old: Config, new: Config, changes: Changes) -> Config:
    """Return the new configuration with the old values of what only a restart can change."""
    fixed: dict[str, dict[str, object]] = {}
    for name in changes.server_restart_needed:
        section, _, key = name.partition(".")
        fixed.setdefault(section, {})[key] = getattr(getattr(old, section), key)
    tables = {section: getattr(new, section).model_copy(update=values) for section, values in fixed.items()}
    return new.model_copy(update=tables)


def _different_keys(old: Config, new: Config) -> Iterator[str]:
    sections: dict[str, tuple[Table, Table]] = {
        "server": (old.server, new.server),
        "pool": (old.pool, new.pool),
        "store": (old.store, new.store),
        "log": (old.log, new.log),
    }
    for section, (before, after) in sections.items():
        for key in type(after).model_fields:
            if getattr(before, key) != getattr(after, key):
                yield f"{section}.{key}"


def _with_effect(keys: list[str], effect: Effect) -> tuple[str, ...]:
    return tuple(key for key in keys if EFFECTS.get(key, Effect.RESTART) is effect)
