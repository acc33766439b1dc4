"""Writes docs/configuration.md from the models: `python -m infsup.supervisor.config.reference [FILE]`."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from .engine_tables import ENGINE_DEFAULTS, ENGINE_OPTIONS
from .engines import ENGINES
from .models import Device, FileRef, ModelConfig
from .root import allowed_of
from .tables import Log, Pool, Server, Store, Table
from .units import Share, Size

_INTRODUCTION = """\
# Configuration

<!-- Generated: python -m infsup.supervisor.config.reference docs/configuration.md -->

`infsup start CONFIG` reads one TOML file; without `CONFIG` it is `$INFSUP_CONFIG`, then `./infsup.toml`, then a
built-in one that serves the tiny model. `infsup check CONFIG` reports every mistake at once: the line, the key, what
was found and what is allowed. Unknown keys are mistakes, and so is what this machine cannot meet: more cores, GPU slots
or memory than it has. `infsup start` refuses of the latter only what would keep the server from being ready, such as
`min_instances` that cannot be kept; a single model that can never be loaded is a warning there, and answers
`out_of_memory` or `model_unavailable`. The smallest useful file:

```toml
[models.assistant]
task = "text-completion"
engine = "llama-cpp"
file = "model.gguf"
```

- **Texts**: `${NAME}` is replaced from the environment, `$${` stands for `${`. A variable that is not set is a mistake.
- **Durations** are numbers of seconds, or texts such as `"250ms"`, `"5m"`, `"1h30m"`, `"2d"`.
- **Sizes** are numbers of bytes, or texts such as `"50MB"` (50 × 1000²) and `"4GiB"` (4 × 1024³).
- **Paths** are absolute or relative to the file; `~` is the home directory.
- Types are strict: `"5"` is not a number, `1` is not `true`. An integer may stand where a number is wanted.
"""
_SECTIONS: Mapping[str, type[Table]] = {
    "[server]": Server,
    "[pool]": Pool,
    "[store]": Store,
    "[log]": Log,
    "[models.NAME]": ModelConfig,
    "device = { … }": Device,
    "files.COMPONENT = { … }": FileRef,
}


def render() -> str:
    """Return the reference as Markdown."""
    parts = [_INTRODUCTION]
    for title, table in _SECTIONS.items():
        rows = [_row(key, field) for key, field in table.model_fields.items()]
        head = ["| key | default | allowed | meaning |", "|---|---|---|---|"]
        parts.append("\n".join([f"## `{title}`", "", _docstring(table), "", *head, *rows, ""]))
    parts.append("\n".join(["## Engines and tasks", "", *_engine_rows(), ""]))
    parts.append("\n".join(["## Names in `defaults` and `options`", "", *_rule_rows(), ""]))
    return "\n".join(parts)


def to_toml(value: object) -> str:
    """Return a default as TOML would write it."""
    match value:
        case None:
            return '""'
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return f"{value:g}"
        case str() | Size() | Share() | Path():
            return json.dumps(str(value), ensure_ascii=False)
        case tuple():
            return "[]"
        case _:
            return "{}"


def _row(key: str, field: FieldInfo) -> str:
    default: Any = field.get_default(call_default_factory=True, validated_data={})
    shown = "required" if field.is_required() else f"`{to_toml(default)}`"
    cells = (f"`{key}`", shown, allowed_of(field), field.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _docstring(table: type[Table]) -> str:
    return " ".join((table.__doc__ or "").split())


def _engine_rows() -> Iterator[str]:
    yield "| engine | tasks | tasks of later versions |"
    yield "|---|---|---|"
    for engine, tasks in ENGINES.items():
        now = ", ".join(sorted(tasks.now)) or "none: not served yet"
        yield f"| `{engine}` | {now} | {', '.join(sorted(tasks.later))} |"
    yield "| your own | any | |"


def _rule_rows() -> Iterator[str]:
    yield "Custom engines have names of their own."
    for key, engines in (("defaults", ENGINE_DEFAULTS), ("options", ENGINE_OPTIONS)):
        owners: dict[tuple[str, str], list[str]] = {}
        for engine, rules in engines.items():
            for name, rule in rules.items():
                owners.setdefault((name, rule.allowed), []).append(engine)
        yield from ("", f"| in `{key}` | engines | allowed |", "|---|---|---|")
        for (name, allowed), names in owners.items():
            yield f"| `{name}` | {', '.join(f'`{engine}`' for engine in names)} | {allowed} |"


def main() -> None:
    """Write the reference into the file that is named, else to standard output."""
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(render(), encoding="utf-8")
    else:
        sys.stdout.write(render())


if __name__ == "__main__":
    main()
