"""Kills by the kernel, told from made-up counters and logs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infsup.supervisor.oom import MEMORY_SECONDS, OomWatch

V2 = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
V1 = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
EVENTS = "sys/fs/cgroup/app/memory.events"
CONTROL = "sys/fs/cgroup/memory/app/memory.oom_control"
VMSTAT = "proc/vmstat"


class Machine:
    """A file system with counters, a log and a clock."""

    def __init__(self, root: Path, *counters: str) -> None:
        self.root = root
        self.now = 100.0
        self.write("proc/self/mountinfo", V2 + V1)
        self.write("proc/self/cgroup", "4:memory:/app\n0::/app\n")
        for counter in counters:
            self.count(counter, 5)

    def write(self, name: str, text: str) -> None:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def count(self, counter: str, kills: int) -> None:
        self.write(counter, f"oom 99\noom_kill {kills}\noom_group_kill 0\n")

    def log(self, line: str) -> None:
        with (self.root / "dev/kmsg").open("a") as stream:
            stream.write(line + "\n")

    def watch(self) -> OomWatch:
        return OomWatch(self.root, lambda: self.now)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture(params=[EVENTS, CONTROL, VMSTAT])
def counter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def machine(tmp_path: Path, counter: str) -> Machine:
    return Machine(tmp_path, counter)


@pytest.fixture
def watch(machine: Machine) -> Iterator[OomWatch]:
    made = machine.watch()
    yield made
    made.close()


def test_was_oom_nothing_counted_is_false(watch: OomWatch) -> None:
    assert not watch.was_oom(7)
    watch.sample()
    assert not watch.was_oom(7)


def test_was_oom_counter_grew_is_true_once(machine: Machine, watch: OomWatch, counter: str) -> None:
    machine.count(counter, 6)
    assert watch.was_oom(7)
    assert not watch.was_oom(8)


def test_was_oom_two_kills_at_once_explain_two_deaths(machine: Machine, watch: OomWatch, counter: str) -> None:
    machine.count(counter, 7)
    assert [watch.was_oom(pid) for pid in (7, 8, 9)] == [True, True, False]


def test_was_oom_kill_seen_by_a_sample_just_before_is_true(machine: Machine, watch: OomWatch, counter: str) -> None:
    machine.count(counter, 6)
    watch.sample()
    machine.now += MEMORY_SECONDS / 2
    assert watch.was_oom(7)


def test_was_oom_kill_long_ago_explains_nothing(machine: Machine, watch: OomWatch, counter: str) -> None:
    machine.count(counter, 6)
    watch.sample()
    machine.now += MEMORY_SECONDS + 1
    assert not watch.was_oom(7)


def test_was_oom_counter_lost_or_reset_is_false(machine: Machine, watch: OomWatch, counter: str) -> None:
    (machine.root / counter).unlink()
    assert not watch.was_oom(7)
    machine.count(counter, 1)
    assert not watch.was_oom(7)
    machine.count(counter, 2)
    assert watch.was_oom(7)


def test_was_oom_kill_elsewhere_on_the_machine_is_false_if_the_own_group_counts(tmp_path: Path) -> None:
    machine = Machine(tmp_path, EVENTS, VMSTAT)
    watch = machine.watch()
    machine.count(VMSTAT, 6)
    assert not watch.was_oom(7)
    machine.count(EVENTS, 6)
    assert watch.was_oom(7)


def test_was_oom_machine_without_any_sign_is_false(tmp_path: Path) -> None:
    watch = OomWatch(tmp_path)
    assert not watch.was_oom(7)
    watch.close()


@pytest.mark.parametrize(
    "line",
    [
        "3,811,5,-;Out of memory: Killed process 4711 (python) total-vm:9kB, anon-rss:8kB",
        "3,812,6,-;Memory cgroup out of memory: Killed process 4711 (python), UID 0",
    ],
)
def test_was_oom_named_in_the_kernels_log_is_true(tmp_path: Path, line: str) -> None:
    machine = Machine(tmp_path)
    machine.write("dev/kmsg", "3,1,1,-;Out of memory: Killed process 7 (old news)\n")
    watch = machine.watch()
    machine.log("6,810,4,-;eth0: link up")
    machine.log(line)
    assert not watch.was_oom(7)
    assert not watch.was_oom(471)
    assert watch.was_oom(4711)
    assert not watch.was_oom(4711)
    watch.close()


def test_was_oom_named_long_ago_is_another_process_of_that_number(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.write("dev/kmsg", "")
    watch = machine.watch()
    machine.log("3,1,1,-;Out of memory: Killed process 7 (python)")
    watch.sample()
    machine.now += MEMORY_SECONDS + 1
    assert not watch.was_oom(7)
    watch.close()


def test_close_gives_the_descriptor_back(tmp_path: Path) -> None:
    machine = Machine(tmp_path, EVENTS)
    machine.write("dev/kmsg", "")
    before = open_files()
    watch = machine.watch()
    assert open_files() == before + 1
    watch.close()
    watch.close()
    assert open_files() == before
    machine.count(EVENTS, 6)
    assert watch.was_oom(7)
