"""Which engines there are, and what each needs."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

from infsup.protocol.errors import EngineMissing, InvalidRequest

from .engine import Engine

ENTRY_POINT_GROUP = "infsup.engines"


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """One engine: `path` is `module:Class`, `packages` maps the modules that it imports to their distributions.

    `install` is the command that installs what it needs. An entry without `tasks` says after its load what it serves.
    """

    name: str
    path: str
    tasks: frozenset[str] = frozenset()
    packages: Mapping[str, str] | None = None
    install: str = ""


_TEXT_TASKS = frozenset({"text-completion", "chat-completion"})

ENGINES: Mapping[str, EngineEntry] = {
    entry.name: entry
    for entry in (
        EngineEntry(
            "onnx",
            "infsup.workers.engines.onnx:OnnxEngine",
            _TEXT_TASKS,
            {"onnxruntime": "onnxruntime", "tokenizers": "tokenizers", "numpy": "numpy"},
            "pip install infsup",
        ),
        EngineEntry(
            "llama-cpp",
            "infsup.workers.engines.llama_cpp:LlamaCppEngine",
            _TEXT_TASKS,
            {"llama_cpp": "llama-cpp-python"},
            "pip install 'infsup[llama-cpp]'",
        ),
        EngineEntry("fault", "infsup.workers.engines.fault:FaultEngine", _TEXT_TASKS | {"embedding"}),
    )
}


def find_engine(name: str) -> EngineEntry:
    """Return the entry for a name of the table, of an entry point, or `package.module:Class`.

    Raises `InvalidRequest` listing what is allowed.
    """
    if name in ENGINES:
        return ENGINES[name]
    if ":" in name:
        return EngineEntry(name, name)
    points = _entry_points()
    if name in points:
        return EngineEntry(name, points[name])
    known = ", ".join([*ENGINES, *sorted(points)])
    raise InvalidRequest(
        f"engine: found {name!r}, known are {known}, and your own as 'package.module:Class'", param="engine"
    )


def create_engine(entry: EngineEntry) -> Engine:
    """Import an engine's module and make the engine, unloaded.

    Raises `EngineMissing` when its library is not installed, `InvalidRequest` when the name leads to no engine.
    """
    module_name, _, class_name = entry.path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise InvalidRequest(
                f"engine: found {entry.name!r}, but there is no module {error.name!r}", param="engine"
            ) from error
        raise missing_package(entry, error) from error
    cls: object = getattr(module, class_name, None)
    if not (isinstance(cls, type) and issubclass(cls, Engine)):
        raise InvalidRequest(
            f"engine: found {entry.path!r}, expected a subclass of infsup.workers.engine.Engine", param="engine"
        )
    return cls()


def missing_package(entry: EngineEntry, error: ModuleNotFoundError) -> EngineMissing:
    """Say which package an engine lacks and how to install it."""
    module = (error.name or str(error)).partition(".")[0]
    package = (entry.packages or {}).get(module, module)
    how = entry.install or f"install it for this worker's Python: pip install {package}"
    return EngineMissing(f"the engine {entry.name} needs {package}, which is not installed: {how}")


def _entry_points() -> dict[str, str]:
    from importlib.metadata import entry_points  # noqa: PLC0415 - 20 ms that the engines of the table do not need

    return {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}
