"""How many threads make sense, told from made-up file systems."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from infsup.supervisor.cores import available_cores, threads_for
from infsup.supervisor.host import online_cores
from infsup.supervisor.machine import read_machine, whole_cores

V2 = {
    "proc/self/mountinfo": "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    "proc/self/cgroup": "0::/box\n",
}
V1 = {
    "proc/self/mountinfo": "36 31 0:33 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n",
    "proc/self/cgroup": "3:cpu:/box\n",
}


def tree(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("cores", "quota", "expected"),
    [(64, None, 64), (64, 2.0, 2), (64, 2.9, 2), (2, 8.0, 2), (4, 0.25, 1), (1, 1.0, 1)],
)
def test_whole_cores_are_bounded_by_the_quota(cores: int, quota: float | None, expected: int) -> None:
    assert whole_cores(cores, quota) == expected


@pytest.mark.parametrize(
    "files",
    [
        V2 | {"sys/fs/cgroup/box/cpu.max": "200000 100000\n", "sys/fs/cgroup/cpu.max": "max 100000\n"},
        V1
        | {
            "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "200000\n",
            "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000\n",
        },
    ],
    ids=["v2", "v1"],
)
def test_container_with_a_quota_of_two_on_many_cores_starts_two_threads(
    tmp_path: Path, files: Mapping[str, str]
) -> None:
    machine = read_machine(tree(tmp_path, files))
    assert machine.quota == 2.0
    threads = whole_cores(64, machine.quota)
    assert [threads_for(wanted, 1, threads) for wanted in (0, 1, 64)] == [2, 1, 2]
    assert threads_for(0, 4, threads) == 1


def test_read_machine_tells_cores_memory_and_gpus(tmp_path: Path) -> None:
    files = {
        "proc/meminfo": "MemTotal: 1000 kB\n",
        "sys/devices/system/cpu/online": "0-3,6\n",
        "dev/nvidia0": "",
    }
    machine = read_machine(tree(tmp_path, files))
    assert machine.cores == tuple(available_cores())
    assert (machine.online, machine.quota, machine.memory) == (frozenset({0, 1, 2, 3, 6}), None, 1_024_000)


def test_read_machine_kernel_that_tells_no_cores_has_those_of_the_process(tmp_path: Path) -> None:
    assert read_machine(tmp_path).online == frozenset(available_cores())


@pytest.mark.parametrize("text", ["", "\n", "all\n", "3-1\n"])
def test_online_cores_that_are_not_told_are_none(tmp_path: Path, text: str) -> None:
    assert online_cores(tree(tmp_path, {"sys/devices/system/cpu/online": text})) == frozenset()
