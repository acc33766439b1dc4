"""What a configuration offers to the supervisor, and the documents that are made of it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infsup.protocol.spec import DeviceSpec
from infsup.supervisor.config import Config, load_config, parse_config
from infsup.supervisor.config.reference import render

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "tests" / "data" / "configs"
ENV = {"INFSUP_TEST_KEY": "key-two", "INFSUP_TEST_PYTHON": sys.executable}


def parse(**model: Any) -> Config:
    return parse_config({"models": {"echo": {"task": "text-completion", "engine": "fault", **model}}}, CONFIGS, ENV)


def test_config_model_name_resolves_aliases() -> None:
    config = parse(aliases=["gpt-4o"])
    assert (config.model_name("echo"), config.model_name("gpt-4o"), config.model_name("x")) == ("echo", "echo", None)


@pytest.mark.parametrize(
    "change",
    [
        {"context_size": 8},
        {"parallel": 2},
        {"options": {"capacity": 2}},
        {"device": {"gpu": False}},
        {"task": "embedding"},
    ],
)
def test_load_key_what_is_loaded_changes_it(change: dict[str, Any]) -> None:
    assert parse(**change).models["echo"].load_key() != parse().models["echo"].load_key()


def test_load_key_limits_and_names_do_not_change_it() -> None:
    other = parse(
        ttl=1, max_instances=4, aliases=["x"], timeout=3, max_queue=1, retries=0, max_memory="1GB", prepare="async"
    )
    assert other.models["echo"].load_key() == parse().models["echo"].load_key()


def test_to_spec_carries_what_a_worker_needs() -> None:
    model = parse(context_size=128, options={"capacity": 2}).models["echo"]
    spec = model.to_spec("echo", DeviceSpec(cpu_threads=2), Path("/m.bin"), {"vae": Path("/v.bin")})
    assert (spec.name, spec.file, spec.files, spec.batch_size) == ("echo", "/m.bin", {"vae": "/v.bin"}, 128)
    assert (spec.device.cpu_threads, spec.options) == (2, {"capacity": 2})


def test_repr_of_the_configuration_hides_the_keys() -> None:
    assert "key-one" not in repr(load_config(CONFIGS / "full.toml", ENV))


def test_reference_is_current() -> None:
    written = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == render(), "run: python -m infsup.supervisor.config.reference docs/configuration.md"


def test_import_of_the_configuration_stays_cheap() -> None:
    code = "import sys, infsup.supervisor.config; print(*sys.modules)"
    modules = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not modules & {"typer", "rich", "numpy", "zmq", "msgpack", "aiohttp", "asyncio", "infsup.workers"}
