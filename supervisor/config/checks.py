"""Checks that need more than one key. Each looks only at values that are sound by themselves."""

import ipaddress
import re
from collections.abc import Iterator

from .disk import check_python
from .engine_tables import check_engine_tables
from .engines import ENGINES, SERVED
from .free_tables import check_free_tables
from .model_files import check_model_files
from .models import ModelConfig
from .place_rules import MODEL_NAME, MODEL_NAME_WORDS
from .problems import Findings, KeyPath, show
from .root import Config


def check_config(config: Config, findings: Findings) -> None:
    """Note everything that is wrong between the keys of a configuration, on disk, and in free tables."""
    _check_openness(config, findings)
    _check_aliases(config, findings)
    for name, model in config.models.items():
        path: KeyPath = ("models", name)
        _check_task(model, path, findings)
        _check_instances(model, path, findings)
        _check_beats(model, path, findings)
        _check_gpu(config, model, path, findings)
        check_model_files(model, path, findings)
        check_python(model, path, findings)
        check_free_tables(model, path, findings)
        check_engine_tables(model, path, findings)
    _check_names(config, findings)  # last: a problem with a name counts against all that is below it


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")


def _check_openness(config: Config, findings: Findings) -> None:
    server = config.server
    keys: tuple[KeyPath, ...] = tuple(("server", key) for key in ("host", "api_keys", "api_keys_file", "insecure"))
    if findings.sound(*keys) and not server.api_keys and not server.insecure and not is_loopback(server.host):
        findings.add(
            ("server", "host"),
            "other addresses with api_keys, api_keys_file or insecure = true; without, a loopback address",
            note="an open server that other machines can reach",
        )


def _check_names(config: Config, findings: Findings) -> None:
    if not config.models and findings.sound(("models",)):
        findings.add(("models",), "one or more tables [models.NAME]", found="no models")
    for name in config.models:
        if not re.fullmatch(MODEL_NAME, name):
            findings.add(("models", name), MODEL_NAME_WORDS, found=f"the name {show(name)}")


def _check_aliases(config: Config, findings: Findings) -> None:
    owners: dict[str, KeyPath] = {name: ("models", name) for name in config.models}
    for alias, path in _aliases(config):
        if not findings.sound(path):
            continue
        if alias in owners:
            note = "the name of a model" if len(owners[alias]) == 2 else f"already an alias of {owners[alias][1]}"
            findings.add(path, "a name that nothing else has", note=note)
        owners.setdefault(alias, path)


def _aliases(config: Config) -> Iterator[tuple[str, KeyPath]]:
    for name, model in config.models.items():
        for index, alias in enumerate(model.aliases):
            yield alias, ("models", name, "aliases", index)


def _check_task(model: ModelConfig, path: KeyPath, findings: Findings) -> None:
    tasks = SERVED.get(model.engine)
    if tasks is None or model.task in tasks or not findings.sound((*path, "task"), (*path, "engine")):
        return
    later = model.task in ENGINES[model.engine].later
    others = ", ".join(name for name, served in SERVED.items() if model.task in served and name != "fault")
    note = f"{'this version of ' if later else ''}the engine {model.engine} does not serve it{' yet' if later else ''}"
    findings.add((*path, "task"), ", ".join(sorted(tasks)), note=f"{note}; {others} can" if others else note)


def _check_instances(model: ModelConfig, path: KeyPath, findings: Findings) -> None:
    low, high = (*path, "min_instances"), (*path, "max_instances")
    if findings.sound(low, high) and model.min_instances > model.max_instances:
        findings.add(low, f"0 to max_instances, which is {model.max_instances}")


def _check_beats(model: ModelConfig, path: KeyPath, findings: Findings) -> None:
    interval, timeout = (*path, "beat_interval"), (*path, "beat_timeout")
    if findings.sound(interval, timeout) and model.beat_timeout <= model.beat_interval:
        findings.add(
            timeout,
            f"more seconds than beat_interval, which is {model.beat_interval:g}",
            found=f"{model.beat_timeout:g}",
        )


def _check_gpu(config: Config, model: ModelConfig, path: KeyPath, findings: Findings) -> None:
    slots: KeyPath = ("pool", "gpu_slots")
    gpu = (*path, "device", "gpu")
    if findings.sound(slots, gpu) and config.pool.gpu_slots == 0 and model.device.gpu not in {False, "auto"}:
        findings.add(gpu, 'false or "auto" while pool.gpu_slots is 0')
