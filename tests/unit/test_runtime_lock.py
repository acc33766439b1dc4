"""Claiming the runtime directory."""

import socket
from pathlib import Path

import pytest

from infsup.protocol.runtime import RuntimeDirectoryError, runtime_directory
from infsup.supervisor.runtime_lock import RuntimeLock, is_served


def test_acquire_makes_a_private_directory_and_release_leaves_only_the_lock(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    assert not is_served(directory)
    with RuntimeLock(directory):
        assert directory.stat().st_mode & 0o777 == 0o700
        assert is_served(directory)
        with pytest.raises(RuntimeDirectoryError, match="running already"):
            RuntimeLock(directory).acquire()
    assert not is_served(directory)
    assert [path.name for path in directory.iterdir()] == ["lock"]


def test_acquire_empty_directory_open_to_others_is_made_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with RuntimeLock(tmp_path):
        assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_acquire_somebody_elses_place_is_refused_and_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RuntimeDirectoryError, match="notes"):
        RuntimeLock(tmp_path).acquire()
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_acquire_with_a_folder_of_a_sockets_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "workers").mkdir()
    with pytest.raises(RuntimeDirectoryError, match="workers"):
        RuntimeLock(tmp_path).acquire()
    assert (tmp_path / "workers").is_dir()


def test_acquire_sweeps_what_a_killed_server_left(tmp_path: Path) -> None:
    for name in ("jobs", "workers"):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(tmp_path / name))
    with RuntimeLock(tmp_path):
        assert not (tmp_path / "jobs").exists()


def test_runtime_directory_depends_on_the_config_and_refuses_long_paths(tmp_path: Path) -> None:
    env = {"XDG_RUNTIME_DIR": str(tmp_path)}
    one, other = (runtime_directory(Path(name), env=env) for name in ("/a.toml", "/b.toml"))
    assert one != other
    assert one.parent == tmp_path / "infsup"
    assert len(one.name) == 8
    assert runtime_directory(Path("/a.toml"), tmp_path / "x", env) == tmp_path / "x"
    with pytest.raises(RuntimeDirectoryError, match="too long"):
        runtime_directory(None, tmp_path / ("x" * 120), env)
