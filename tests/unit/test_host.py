"""Memory, processor quota and GPUs, read from made-up file systems."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from infsup.supervisor.cgroups import controller_groups, numbers, unified_groups
from infsup.supervisor.host import ProcessMemory, cpu_quota, find_gpus, process_memory, total_memory

GB = 1_000_000_000
V2 = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MEMORY = "35 31 0:32 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n"
V1_CPU = "36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
V1_UNLIMITED = "9223372036854771712\n"
MEMINFO = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\n"
MACHINE = 16_000_000 * 1024


def tree(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def v2(root: Path, own: str, files: Mapping[str, str]) -> Path:
    places = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    heads = {"proc/meminfo": MEMINFO, "proc/self/mountinfo": V2, "proc/self/cgroup": f"0::{own}\n"}
    return tree(root, heads | places)


def v1(root: Path, own: str, files: Mapping[str, str], mounts: str = V1_MEMORY + V1_CPU) -> Path:
    places = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    groups = f"4:memory:{own}\n3:cpu,cpuacct:{own}\n0::/\n"
    return tree(root, {"proc/meminfo": MEMINFO, "proc/self/mountinfo": mounts, "proc/self/cgroup": groups} | places)


# Memory


def test_total_memory_without_groups_is_the_machines(tmp_path: Path) -> None:
    assert total_memory(tree(tmp_path, {"proc/meminfo": MEMINFO})) == MACHINE


def test_total_memory_without_proc_asks_the_fallback(tmp_path: Path) -> None:
    assert total_memory(tmp_path, fallback=lambda: 5 * GB) == 5 * GB
    assert total_memory(tmp_path) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a/b/memory.max": "max\n"}, MACHINE),
        ({"a/b/memory.max": "2000000000\n", "a/memory.max": "max\n"}, 2 * GB),
        ({"a/b/memory.max": "3000000000\n", "a/memory.max": "1000000000\n"}, 1 * GB),
        ({"a/b/memory.max": "max\n", "memory.max": "4000000000\n"}, 4 * GB),
        ({"a/b/memory.max": "3000000000\n", "a/b/memory.high": "2000000000\n"}, 2 * GB),
        ({"a/b/memory.max": "99000000000000\n"}, MACHINE),
        ({"a/b/memory.max": "0\n", "a/memory.max": "what?\n"}, MACHINE),
        ({"a/b/memory.max": "max\n", "a/other/memory.max": "1\n", "a/b/below/memory.max": "1\n"}, MACHINE),
    ],
)
def test_total_memory_v2_is_the_lowest_limit_from_the_own_group_up(
    tmp_path: Path, files: Mapping[str, str], expected: int
) -> None:
    assert total_memory(v2(tmp_path, "/a/b", files)) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"memory/a/memory.limit_in_bytes": V1_UNLIMITED}, MACHINE),
        ({"memory/a/memory.limit_in_bytes": "2000000000\n", "memory/memory.limit_in_bytes": V1_UNLIMITED}, 2 * GB),
        ({"memory/a/memory.limit_in_bytes": V1_UNLIMITED, "memory/memory.limit_in_bytes": "1000000000\n"}, 1 * GB),
    ],
)
def test_total_memory_v1_is_the_lowest_limit_from_the_own_group_up(
    tmp_path: Path, files: Mapping[str, str], expected: int
) -> None:
    assert total_memory(v1(tmp_path, "/a", files)) == expected


def test_total_memory_path_told_from_outside_the_container_takes_the_mounted_group(tmp_path: Path) -> None:
    root = v1(tmp_path, "/docker/0123", {"memory/memory.limit_in_bytes": "2000000000\n"})
    assert total_memory(root) == 2 * GB


def test_total_memory_mount_of_an_inner_group_is_followed(tmp_path: Path) -> None:
    mounts = V1_MEMORY.replace(" / /sys", " /docker/0123 /sys")
    files = {"memory/inner/memory.limit_in_bytes": "2000000000\n"}
    assert total_memory(v1(tmp_path, "/docker/0123/inner", files, mounts)) == 2 * GB


def test_groups_of_a_sibling_namespace_never_leave_the_mount(tmp_path: Path) -> None:
    root = v2(tmp_path, "/../../etc", {"memory.max": "max\n"})
    (tmp_path / "sys/etc").mkdir()
    assert unified_groups(root) == [root / "sys/fs/cgroup"]


def test_groups_go_from_the_own_one_up(tmp_path: Path) -> None:
    root = v2(tmp_path, "/a/b", {"a/b/memory.max": "max\n"})
    top = root / "sys/fs/cgroup"
    assert unified_groups(root) == [top / "a/b", top / "a", top]
    assert controller_groups("memory", root) == []


def test_groups_malformed_lines_are_skipped(tmp_path: Path) -> None:
    files = {"proc/self/mountinfo": "\nwhat - is this\n" + V2, "proc/self/cgroup": "nothing\n0::/a\n\n"}
    (tmp_path / "sys/fs/cgroup/a").mkdir(parents=True)
    assert unified_groups(tree(tmp_path, files))[0] == tmp_path / "sys/fs/cgroup/a"


def test_numbers_reads_lines_of_proc_and_sys() -> None:
    assert numbers("MemTotal: 5 kB\noom_kill 3\n\nName:\tpython\nlow\nx -1\n") == {"MemTotal": 5, "oom_kill": 3}


# Processor time


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a/cpu.max": "max 100000\n"}, None),
        ({"a/cpu.max": "150000 100000\n", "cpu.max": "max 100000\n"}, 1.5),
        ({"a/cpu.max": "400000 100000\n", "cpu.max": "200000 100000\n"}, 2.0),
        ({"a/cpu.max": "5\n"}, None),
        ({"a/cpu.max": ""}, None),
        ({"a/cpu.max": "100000 0\n"}, None),
    ],
)
def test_cpu_quota_v2_is_the_lowest(tmp_path: Path, files: Mapping[str, str], expected: float | None) -> None:
    assert cpu_quota(v2(tmp_path, "/a", files)) == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1\n", None), ("50000\n", 0.5), ("", None)])
def test_cpu_quota_v1_is_quota_by_period(tmp_path: Path, quota: str, expected: float | None) -> None:
    place = "cpu,cpuacct/a"
    files = {f"{place}/cpu.cfs_quota_us": quota, f"{place}/cpu.cfs_period_us": "100000\n"}
    assert cpu_quota(v1(tmp_path, "/a", files)) == expected


# Processes


def test_process_memory_own_is_anonymous_and_swapped(tmp_path: Path) -> None:
    status = "Name:\tpython\nVmRSS:\t 900 kB\nRssAnon:\t 100 kB\nRssFile:\t 800 kB\nVmSwap:\t 20 kB\n"
    root = tree(tmp_path, {"proc/7/status": status, "proc/8/status": "Name:\tpython\nState:\tZ (zombie)\n"})
    assert process_memory(7, root) == ProcessMemory(own=120 * 1024, mapped=800 * 1024)
    assert process_memory(8, root) is None
    assert process_memory(9, root) is None


# GPUs

RENDER = "sys/class/drm/renderD128/device/vendor"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ((), 0),
        (("dev/nvidia0", "dev/nvidia1", "dev/nvidiactl", "dev/nvidia-uvm"), 2),
        (("dev/nvidiactl", "dev/nvidia-caps/nvidia-cap1"), 0),
        (("proc/driver/nvidia/gpus/0000:01:00.0/information",), 1),
        (("proc/driver/nvidia/gpus/0000:01:00.0/information", ".dockerenv"), 0),
        (
            (
                "proc/driver/nvidia/gpus/0000:01:00.0/information",
                "proc/driver/nvidia/gpus/0000:02:00.0/information",
                "dev/nvidia1",
            ),
            1,
        ),
        (("dev/kfd",), 1),
    ],
)
def test_find_gpus_counts_the_devices_that_can_be_used(tmp_path: Path, files: tuple[str, ...], expected: int) -> None:
    root = tree(tmp_path, dict.fromkeys(files, ""))
    assert find_gpus(root, environ={}, system="linux") == expected


@pytest.mark.parametrize(("vendor", "expected"), [("0x10de", 1), ("0x1002", 1), ("0x8086", 0), ("0x1af4", 0), ("", 0)])
def test_find_gpus_render_node_counts_by_vendor(tmp_path: Path, vendor: str, expected: int) -> None:
    root = tree(tmp_path, {"dev/dri/renderD128": "", "dev/dri/card0": "", RENDER: f"{vendor}\n"})
    assert find_gpus(root, environ={}, system="linux") == expected


def test_find_gpus_same_gpu_is_counted_once(tmp_path: Path) -> None:
    nvidia = tree(tmp_path / "n", {"dev/nvidia0": "", "dev/dri/renderD128": "", RENDER: "0x10de\n"})
    amd = tree(tmp_path / "a", {"dev/kfd": "", "dev/dri/renderD128": "", RENDER: "0x1002\n"})
    assert [find_gpus(root, environ={}, system="linux") for root in (nvidia, amd)] == [1, 1]


def test_find_gpus_render_node_outside_the_container_does_not_count(tmp_path: Path) -> None:
    assert find_gpus(tree(tmp_path, {RENDER: "0x1002\n"}), environ={}, system="linux") == 0


@pytest.mark.parametrize(("value", "expected"), [("", 0), ("-1", 0), ("1", 1), ("0,1,-1,2", 2), ("0,1,2,3,4", 3)])
def test_find_gpus_hidden_by_the_environment_do_not_count(tmp_path: Path, value: str, expected: int) -> None:
    root = tree(tmp_path, {f"dev/nvidia{number}": "" for number in range(3)})
    assert find_gpus(root, environ={"CUDA_VISIBLE_DEVICES": value}, system="linux") == expected


@pytest.mark.parametrize(("machine", "expected"), [("arm64", 1), ("x86_64", 0)])
def test_find_gpus_on_a_mac_is_apples(tmp_path: Path, machine: str, expected: int) -> None:
    assert find_gpus(tmp_path, environ={}, system="darwin", machine=machine) == expected
