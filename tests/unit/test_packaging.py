"""What the repository declares and holds: every package, type markers, nothing that only one machine has."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOP_PACKAGES = ("gateway", "protocol", "supervisor", "workers")
MAX_FILE_BYTES = 4_000_000
MACHINE_ONLY = [
    r"(?<![\w.])/work/",
    r"(?<![\w./-])shared/",
    r"/opt/(wheels|pypi)",
    r"\.pyenv/",
    r"(?<![\w.])/root/",
    r"(find-links|index-url)\s*[=\s]\s*\S*(localhost|127\.0\.0\.1|mirror|file:)",
]


def _repository_files() -> list[Path]:
    """Return the files that are tracked or would be after `git add`, without those that were deleted."""
    # safe.directory: a checkout that belongs to another user, as in some CI containers, may be listed.
    command = [
        "git",
        "-c",
        "safe.directory=*",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    try:
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"git cannot list this checkout: {error}")
    paths = [ROOT / name for name in listing.split("\0") if name]
    return [path for path in paths if path.is_file()]


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_packages_declared_equal_those_on_disk() -> None:
    on_disk = {
        ".".join(("infsup", *init.parent.relative_to(ROOT).parts))
        for top in TOP_PACKAGES
        for init in (ROOT / top).rglob("__init__.py")
    }
    assert sorted(_pyproject()["tool"]["setuptools"]["packages"]) == sorted(on_disk)


def test_modules_on_disk_all_lie_in_a_package() -> None:
    outside = [
        module.relative_to(ROOT)
        for top in TOP_PACKAGES
        for module in (ROOT / top).rglob("*.py")
        if not (module.parent / "__init__.py").is_file()
    ]
    assert outside == []


@pytest.mark.parametrize("top", TOP_PACKAGES)
def test_package_is_marked_as_typed(top: str) -> None:
    assert (ROOT / top / "py.typed").is_file()
    assert "py.typed" in _pyproject()["tool"]["setuptools"]["package-data"]["*"]


def test_namespace_folder_does_not_exist() -> None:
    # A folder "infsup" in the root would hide the installed package from programs that run there.
    assert not (ROOT / "infsup").exists()


@pytest.mark.parametrize("pattern", MACHINE_ONLY)
def test_files_name_nothing_that_only_one_machine_has(pattern: str) -> None:
    search = re.compile(pattern.encode()).search
    this = Path(__file__).resolve()
    found = [path.relative_to(ROOT) for path in _repository_files() if path != this and search(path.read_bytes())]
    assert found == []


def test_files_are_small_enough_for_a_repository() -> None:
    large = {path.relative_to(ROOT): path.stat().st_size for path in _repository_files()}
    assert {path: size for path, size in large.items() if size > MAX_FILE_BYTES} == {}


@pytest.mark.parametrize("name", ["scripts/start", "scripts/test", "scripts/link_types", ".ci/run"])
def test_script_can_be_executed(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)
