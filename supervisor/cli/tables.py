"""What the commands print: JSON for programs, tables for people."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from infsup.supervisor.config import Problem, format_problems


def show_json(value: object) -> None:
    """Print JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def show_problems(problems: Sequence[Problem], *, as_json: bool) -> None:
    """Print mistakes and warnings of a configuration: JSON on stdout, text on stderr."""
    if as_json:
        show_json([problem.to_json() for problem in problems])
    elif problems:
        print(format_problems(problems), file=sys.stderr)


def show_status(facts: Mapping[str, Any]) -> None:
    """Print the server, its models and instances."""
    server, pool = facts["server"], facts["pool"]
    print(f"http://{server['host']}:{server['port']}  pid {server['pid']}  up {_duration(server['uptime'])}")
    print(f"jobs: {pool['processing']} running, {pool['pending']} waiting")
    rows = [
        (name, model["engine"], model["status"], f"{model['minInstances']}–{model['maxInstances']}")
        for name, model in facts["store"].items()
    ]
    _print_table(("model", "engine", "status", "instances"), rows)
    show_instances([{"id": name, **instance} for name, instance in pool["instances"].items()])


def show_instances(instances: Sequence[Mapping[str, Any]]) -> None:
    """Print the instances."""
    rows = [
        (
            one["id"],
            one["state"],
            one["device"],
            str(one["pid"]),
            ",".join(map(str, one["cores"])),
            str(len(one["jobs"])),
            f"{one['rssAnon'] / 1e6:.0f} MB",
            one["lastUsed"],
        )
        for one in instances
    ]
    _print_table(("instance", "state", "device", "pid", "cores", "jobs", "memory", "last used"), rows)


def show_deaths(deaths: Sequence[Mapping[str, Any]]) -> None:
    """Print the post-mortems, newest first."""
    if not deaths:
        print("no worker has died")
    for death in deaths:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(death["at"]))
        print(f"{at}  {death['instance']} (pid {death['pid']}) in {death['phase']}: {death['cause']}")
        for line in death["log_tail"][-5:]:
            print(f"    {line}")


def show_logs(logs: Mapping[str, Sequence[str]]) -> None:
    """Print lines with the instance they are from."""
    for instance, lines in logs.items():
        for line in lines:
            print(f"{instance}: {line}")


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=column in {"instance", "model", "pid"})
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)


def _duration(seconds: float) -> str:
    days, rest = divmod(int(seconds), 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{days}d {hours:02}:{minutes:02}:{rest:02}" if days else f"{hours:02}:{minutes:02}:{rest:02}"
