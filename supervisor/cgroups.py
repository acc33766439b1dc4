"""Where the control groups of this process are on the file system, versions 1 and 2. Reads /proc only.

A limit holds for a group and all that is below it, so each answer goes from the process's own group up to the highest
one that can be seen. In a container that is often not the machine's root group.
"""

from pathlib import Path, PurePosixPath


def unified_groups(root: Path = Path("/")) -> list[Path]:
    """Return the directories of the version 2 groups, the own one first; empty if there is no such hierarchy.

    `root` is the file system's root, another directory in tests. A directory need not have the files of every
    controller: on a machine with both versions, some belong to version 1.
    """
    for mount in _mounts(root):
        if mount.kind == "cgroup2":
            own = next((path for number, _, path in _memberships(root) if number == "0"), "/")
            return _upwards(root, mount, own)
    return []


def controller_groups(controller: str, root: Path = Path("/")) -> list[Path]:
    """Return the directories of the version 1 groups of a controller such as `memory`, the own one first."""
    for mount in _mounts(root):
        if mount.kind == "cgroup" and controller in mount.options:
            own = next((path for _, names, path in _memberships(root) if controller in names.split(",")), "/")
            return _upwards(root, mount, own)
    return []


def read_text(path: Path) -> str:
    """Return the text of a file of /proc or /sys, "" if it is not there or cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def numbers(text: str) -> dict[str, int]:
    """Return the lines `NAME NUMBER` of a text; a colon after the name and a unit after the number do not matter."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, *values = line.split()[:2] or [""]
        if values and values[0].isdecimal():
            found[name.removesuffix(":")] = int(values[0])
    return found


class _Mount:
    """One line of /proc/self/mountinfo, see proc_pid_mountinfo(5)."""

    def __init__(self, line: str) -> None:
        """Raises `ValueError` for a line that has another form."""
        before, separator, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if not separator or len(fields) < 6 or len(kinds) < 3:
            raise ValueError(line)
        self.inner_root = fields[3]
        self.place = fields[4]
        self.kind = kinds[0]
        self.options = kinds[2].split(",")


def _mounts(root: Path) -> list[_Mount]:
    mounts: list[_Mount] = []
    for line in read_text(root / "proc/self/mountinfo").splitlines():
        try:
            mounts.append(_Mount(line))
        except ValueError:
            continue
    return mounts


def _memberships(root: Path) -> list[tuple[str, str, str]]:
    """Return (hierarchy number, controllers, path) of each group that this process is in."""
    lines = (line.split(":", 2) for line in read_text(root / "proc/self/cgroup").splitlines())
    return [(parts[0], parts[1], parts[2]) for parts in lines if len(parts) == 3]


def _upwards(root: Path, mount: _Mount, own: str) -> list[Path]:
    top = root / mount.place.lstrip("/")
    inside = PurePosixPath(own)
    if inside.is_relative_to(mount.inner_root):
        inside = inside.relative_to(mount.inner_root)
    path = top / str(inside).lstrip("/")
    if ".." in inside.parts or not path.is_dir():
        # A container sees its own group as the mount's root, while its path may still be told from outside.
        path = top
    return [path, *(parent for parent in path.parents if parent.is_relative_to(top))]
