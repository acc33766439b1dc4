"""What a reload would have to do."""

from pathlib import Path
from typing import Any

import pytest

from infsup.supervisor.config import Config, parse_config
from infsup.supervisor.config_changes import EFFECTS, Changes, Effect, compare, keep_fixed

MODEL: dict[str, Any] = {"task": "text-completion", "engine": "fault"}


def config(*names: str, models: dict[str, dict[str, Any]] | None = None, **sections: dict[str, Any]) -> Config:
    tables = {name: dict(MODEL) for name in names}
    tables |= {name: {**MODEL, **keys} for name, keys in (models or {}).items()}
    return parse_config({"models": tables, **sections}, Path("/"), {})


def test_compare_equal_configurations_finds_nothing() -> None:
    changes = compare(config("a", "b"), config("a", "b"))
    assert changes == Changes()
    assert not changes
    assert str(changes) == "nothing has changed"


def test_compare_models_come_and_go() -> None:
    changes = compare(config("a", "b", "c"), config("d", "c", "e"))
    assert changes == Changes(added=("d", "e"), removed=("a", "b"))
    assert str(changes) == "added: d, e; removed: a, b"


@pytest.mark.parametrize(
    "keys",
    [
        {"context_size": 512},
        {"parallel": 2},
        {"options": {"token_delay": 1.0}},
        {"device": {"cpu_threads": 2}},
        {"defaults": {"temperature": 0.5}},
        {"task": "chat-completion"},
    ],
)
def test_compare_what_is_loaded_differs_is_changed(keys: dict[str, Any]) -> None:
    changes = compare(config("a", "b"), config("a", models={"b": {**keys, "ttl": 5}}))
    assert changes == Changes(changed=("b",))


@pytest.mark.parametrize(
    "keys", [{"ttl": 5}, {"aliases": ["x"]}, {"max_instances": 4}, {"stall_timeout": 9}, {"max_memory": "1GB"}]
)
def test_compare_only_limits_differ_is_adjusted(keys: dict[str, Any]) -> None:
    changes = compare(config("a", "b"), config("a", models={"b": keys}))
    assert changes == Changes(adjusted=("b",))
    assert changes


def test_compare_keys_outside_models_are_sorted_by_effect() -> None:
    old = config("a", server={"port": 1, "api_keys": ["one"]}, pool={"memory": "50%"})
    new = config("a", server={"port": 2, "api_keys": ["secret"]}, pool={"memory": "60%", "cores": "0"})
    changes = compare(old, new)
    assert changes == Changes(
        live=("pool.memory",),
        gateway=("server.api_keys",),
        server_restart_needed=("server.port", "pool.cores"),
    )
    assert "secret" not in str(changes)
    assert "only after a restart: server.port, pool.cores" in str(changes)


def test_effects_name_every_key_and_no_other() -> None:
    tables = config("a").model_dump(exclude={"models"})
    assert set(EFFECTS) == {f"{section}.{key}" for section, keys in tables.items() for key in keys}
    assert EFFECTS["server.host"] is Effect.RESTART


def test_keep_fixed_takes_over_all_but_what_needs_a_restart() -> None:
    old = config("a", pool={"concurrency": 1, "gpu_slots": 0})
    new = config("a", "b", pool={"concurrency": 2, "gpu_slots": 1})
    kept = keep_fixed(old, new, compare(old, new))
    assert (kept.pool.concurrency, kept.pool.gpu_slots, list(kept.models)) == (2, 0, ["a", "b"])
