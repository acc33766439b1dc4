"""What `pip install .` installs, seen in a wheel that is built from a copy of the tree."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOP_PACKAGES = ("gateway", "protocol", "supervisor", "workers")


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """Names in the wheel; built from a copy, because setuptools writes next to its sources."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for top in TOP_PACKAGES:
        shutil.copytree(ROOT / top, source / top, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "."]
    built = subprocess.run([*command, "-w", folder], cwd=source, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return frozenset(archive.namelist())


def test_wheel_holds_every_module_and_type_marker(wheel_names: frozenset[str]) -> None:
    wanted = {
        f"infsup/{path.relative_to(ROOT).as_posix()}"
        for top in TOP_PACKAGES
        for pattern in ("*.py", "py.typed")
        for path in (ROOT / top).rglob(pattern)
    }
    assert wanted - wheel_names == set()


def test_wheel_holds_the_tiny_model(wheel_names: frozenset[str]) -> None:
    models = ROOT / "workers" / "models"
    wanted = {"tiny.onnx", "tiny.f16.gguf", "tiny.q8_0.gguf", "tiny/model.safetensors", "tiny/tokenizer.json"}
    wanted |= {path.relative_to(models).as_posix() for path in models.rglob("*") if path.is_file()}
    assert {f"infsup/workers/models/{name}" for name in wanted} - wheel_names == set()


def test_wheel_holds_the_configuration_that_serves_the_tiny_model(wheel_names: frozenset[str]) -> None:
    assert [name for name in wheel_names if name.endswith("/tiny.toml")]


def test_wheel_installs_nothing_outside_of_infsup(wheel_names: frozenset[str]) -> None:
    assert {name.split("/")[0] for name in wheel_names if ".dist-info/" not in name} == {"infsup"}
