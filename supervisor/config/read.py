"""From a mapping to a checked `Config`: replace variables, validate, check across keys, collect every problem."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .checks import check_config
from .disk import read_api_keys
from .environment import expand
from .models import ModelConfig
from .problems import ConfigError, Findings, KeyPath
from .root import Config, allowed_at, section_with, table_at
from .rules import NOT_ALLOWED, Refused

_REQUIRED = {"task": "text-completion", "engine": "fault"}
_ITEMS = {"aliases": "-", "api_keys": "-", "cors_origins": "*"}
"""These stand for required keys and list items that are wrong, so that the rest can be checked; never returned."""


def read_config(
    raw: Mapping[str, Any],
    base: Path,
    env: Mapping[str, str],
    findings: Findings,
    fit: Callable[[Config, Findings], Config] | None = None,
) -> Config:
    """Return the configuration that `raw` describes; relative paths start at `base`.

    `fit` adapts the configuration to the machine it is for, and notes what cannot be met there. Where something is
    wrong already, it gets stand-ins for it.
    Raises `ConfigError` with everything that `findings` has collected in the end.
    """
    values = expand(raw, env, findings)
    try:
        config = Config.model_validate(values, context={"base": base})
    except ValidationError as error:
        wrong = _note_errors(error, findings)
        config = Config.model_validate(_without(values, wrong), context={"base": base})
    config = _with_key_file(config, findings)
    check_config(config, findings)
    config = config.model_copy(update={"models": {name: _clamped(model) for name, model in config.models.items()}})
    if fit is not None:
        config = fit(config, findings)
    if findings.paths():
        raise ConfigError(findings.problems())
    return config


def _note_errors(error: ValidationError, findings: Findings) -> list[KeyPath]:
    """Note what pydantic found, in our words; return the paths."""
    reported = findings.paths()
    wrong: list[KeyPath] = []
    for item in error.errors(include_url=False, include_input=False):
        path = item["loc"]
        wrong.append(path)
        if path in reported:
            continue
        match item["type"]:
            case "missing":
                findings.add(path, allowed_at(path), found="nothing")
            case "extra_forbidden":
                _note_unknown_key(path, findings)
            case kind if kind == NOT_ALLOWED:
                context = item.get("ctx", {})
                findings.add(path, context["allowed"], note=context["note"])
            case _:
                findings.add(path, "a table")
    return wrong


def _note_unknown_key(path: KeyPath, findings: Findings) -> None:
    table = table_at(path[:-1])
    keys = list(table.model_fields) if table else []
    key = str(path[-1])
    close = difflib.get_close_matches(key, keys, n=1)
    section = section_with(key)
    note = ""
    if close:
        note = f'did you mean "{close[0]}"?'
    elif table is ModelConfig and findings.is_table(path):
        note = f'names with dots need quotes, such as [models."{path[-2]}.{key}"]'
    elif section:
        note = f"it belongs into {section}"
    findings.add(path, ", ".join(keys), found="an unknown key", note=note)


def _without(values: dict[str, Any], wrong: Iterable[KeyPath]) -> dict[str, Any]:
    """Take what is wrong out of `values`; something valid takes the place of what must be there."""
    for *parents, last in wrong:
        table: Any = values
        for part in parents:
            table = table.get(part, {})
        if isinstance(last, int):
            table[last] = _ITEMS[str(parents[-1])]
        elif table_at(tuple(parents)) is ModelConfig and last in _REQUIRED:
            table[last] = _REQUIRED[last]
        else:
            table.pop(last, None)
    return values


def _with_key_file(config: Config, findings: Findings) -> Config:
    """Return the configuration with the keys of `api_keys_file` among `api_keys`."""
    server, path = config.server, ("server", "api_keys_file")
    if server.api_keys_file is None or not findings.sound(path):
        return config
    try:
        keys = server.api_keys + read_api_keys(server.api_keys_file)
    except Refused as refusal:
        findings.add(path, "a readable text file with one key a line", note=str(refusal))
        return config
    return config.model_copy(update={"server": server.model_copy(update={"api_keys": keys})})


def _clamped(model: ModelConfig) -> ModelConfig:
    """A batch larger than the context is of no use, and llama.cpp aborts on it."""
    if not model.context_size or model.batch_size <= model.context_size:
        return model
    return model.model_copy(update={"batch_size": model.context_size})
