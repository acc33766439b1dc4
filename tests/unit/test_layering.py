"""Who may import whom, read from the source: no module is imported and no process is started here."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOP_PACKAGES = frozenset({"gateway", "protocol", "supervisor", "workers"})
ALLOWED = {
    "protocol": {"protocol"},
    "gateway": {"gateway", "protocol"},
    "supervisor": {"supervisor", "protocol"},
    "workers": {"workers", "protocol"},
}
HEAVY = frozenset(
    {
        "gguf",
        "gpt4all",
        "jinja2",
        "llama_cpp",
        "llguidance",
        "numpy",
        "onnxruntime",
        "stable_diffusion_cpp",
        "tokenizers",
        "torch",
        "transformers",
    }
)


@dataclass(frozen=True)
class Import:
    """One imported name: absolute and dotted. `late`: not run when the module itself is imported."""

    name: str
    line: int
    late: bool
    parent_relative: bool


def _module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("infsup", *(parts[:-1] if parts[-1] == "__init__" else parts)))


MODULES = {_module_name(path): path for top in sorted(TOP_PACKAGES) for path in sorted((ROOT / top).rglob("*.py"))}


def _absolute(node: ast.ImportFrom, module: str) -> str:
    if node.level == 0:
        return node.module or ""
    package = module.split(".")
    if MODULES[module].name != "__init__.py":
        package = package[:-1]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _names(node: ast.Import | ast.ImportFrom, module: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = _absolute(node, module)
    submodules = [f"{base}.{alias.name}" for alias in node.names if f"{base}.{alias.name}" in MODULES]
    return [base, *submodules]


def _is_type_checking(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _walk(node: ast.AST, module: str, late: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            up = isinstance(child, ast.ImportFrom) and child.level > 1
            for name in _names(child, module):
                yield Import(name, child.lineno, late, up)
        else:
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            only_types = isinstance(child, ast.If) and _is_type_checking(child)
            yield from _walk(child, module, late or function or only_types)


IMPORTS = {
    module: list(_walk(ast.parse(path.read_text(encoding="utf-8"), str(path)), module, late=False))
    for module, path in MODULES.items()
}


def _place(module: str, found: Import) -> str:
    return f"{MODULES[module].relative_to(ROOT)}:{found.line} imports {found.name}"


def _loaded_with(module: str) -> set[str]:
    """Return every module that importing `module` runs, its packages included, as far as the source shows."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        waiting.extend([name.rpartition(".")[0]] if "." in name else [])
        waiting.extend(found.name for found in IMPORTS.get(name, []) if not found.late)
    return seen


@pytest.mark.parametrize("top", sorted(TOP_PACKAGES))
def test_layering_package_imports_only_what_it_may(top: str) -> None:
    wrong = [
        _place(module, found)
        for module, imports in IMPORTS.items()
        if module.split(".")[1] == top
        for found in imports
        if found.name.split(".")[0] == "infsup" and found.name.split(".")[1:2] != [top]
        if not ALLOWED[top].intersection(found.name.split(".")[1:2])
    ]
    assert wrong == []


def test_layering_folders_are_imported_only_under_their_installed_name() -> None:
    wrong = [
        _place(module, found)
        for module, imports in IMPORTS.items()
        for found in imports
        if found.name.split(".")[0] in TOP_PACKAGES
    ]
    assert wrong == []


def test_layering_no_import_climbs_to_a_parent_package() -> None:
    wrong = [_place(m, found) for m, imports in IMPORTS.items() for found in imports if found.parent_relative]
    assert wrong == []


def test_heavy_libraries_are_imported_only_in_workers() -> None:
    wrong = [
        _place(module, found)
        for module, imports in IMPORTS.items()
        if module.split(".")[1] != "workers"
        for found in imports
        if found.name.split(".")[0] in HEAVY
    ]
    assert wrong == []


def test_heavy_libraries_are_not_loaded_before_a_worker_knows_its_engine() -> None:
    # The process starts at __main__; the engine's module, and with it the library, comes from the registry.
    assert "infsup.workers.__main__" in MODULES
    top_level = {name.split(".")[0] for name in _loaded_with("infsup.workers.__main__")}
    assert top_level & HEAVY == set()
