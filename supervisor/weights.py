"""Which of a model's files an instance holds in memory, and what they say about it. Reads files, so it may block.

It runs where a configuration is loaded, never in the supervisor's loop. What it reads is bounded: the heads of GGUF
files, one `config.json`, and the names and sizes in a directory.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from .config import ModelConfig
from .gguf_facts import Facts, read_facts
from .gguf_head import GgufError
from .hf_facts import ConfigJsonError, read_config_json

_MAX_FILES = 10_000
"""Entries of a directory that are looked at: somebody may name `/`."""
_MOST: Mapping[str, int] = {
    "context_length": 1 << 31,
    "kv_heads": 1 << 20,
    "key_length": 1 << 16,
    "value_length": 1 << 16,
    "vocabulary": 1 << 28,
    "embedding_length": 1 << 20,
}
"""What is larger is not a model's, but damage."""
_PART = re.compile(r"(.*)-[0-9]{5}-of-([0-9]{5})\.gguf")


@dataclass(frozen=True, slots=True)
class Weights:
    """`bytes` is the size of the files that are loaded; `facts` is None where nothing more can be known of them.

    `problem` says why facts that should be there could not be read.
    """

    bytes: int = 0
    facts: Facts | None = None
    problem: str = ""


def weigh_all(models: Mapping[str, ModelConfig]) -> dict[str, Weights]:
    """Look at the files of each model."""
    return {name: weigh(model) for name, model in models.items()}


def weigh(model: ModelConfig) -> Weights:
    """Look at the files of one model; what is damaged counts with its size, what is not there with nothing."""
    try:
        return _weigh(model)
    except OSError as error:
        return Weights(problem=f"{model.file}: {error.strerror or error}")


def _weigh(model: ModelConfig) -> Weights:
    size = sum(_size(part.file) for part in model.files.values() if part.file)
    if model.file is None:
        return Weights(size)
    source: Path | None = None
    if model.engine == "llama-cpp":
        size += sum(map(_size, _gguf_parts(model.file)))
        source = model.file if model.file.is_file() else None
    elif model.engine == "onnx" and (graph := _onnx_graph(model, model.file)) is not None:
        # Large models keep their numbers beside the graph: model.onnx_data, model.onnx.data, model.onnx_data_1.
        size += sum(_size(path) for path in _entries(graph.parent) if path.name.startswith(graph.name))
        source = _onnx_config(model, graph)
    else:
        size += _size(model.file)
    try:
        facts = _read(source) if source else None
    except (GgufError, ConfigJsonError) as error:
        return Weights(size, problem=str(error))
    absurd = [name for name, most in _MOST.items() if getattr(facts, name, 0) > most]
    return Weights(size, problem=f"{source}: absurd numbers: {', '.join(absurd)}") if absurd else Weights(size, facts)


def _read(source: Path) -> Facts:
    return read_config_json(source) if source.suffix == ".json" else read_facts(source)


def _gguf_parts(file: Path) -> list[Path]:
    """Return all files of a model that was split, by their names, as llama.cpp finds them."""
    match = _PART.fullmatch(file.name)
    if match is None:
        return [file]
    count = int(match[2])
    return [file.with_name(f"{match[1]}-{number:05}-of-{match[2]}.gguf") for number in range(1, min(count, 1000) + 1)]


def _onnx_graph(model: ModelConfig, file: Path) -> Path | None:
    """Return the graph that the engine would take, None if it would take none."""
    if not file.is_dir():
        return file
    choice = model.options.get("onnx_file")
    folders = (file / "onnx", file)
    if isinstance(choice, str) and choice:
        return next((folder / choice for folder in folders if (folder / choice).is_file()), None)
    found = [path for folder in folders for path in _entries(folder) if path.suffix == ".onnx"]
    usual = [path for path in found if path.name == "model.onnx"]
    return (usual or found)[0] if usual or len(found) == 1 else None


def _onnx_config(model: ModelConfig, graph: Path) -> Path | None:
    named = model.files.get("config")
    folders = (graph.parent / graph.stem, graph.parent, graph.parent.parent)
    places = [named.file] if named and named.file else [folder / "config.json" for folder in folders]
    return next((path for path in places if path.is_file()), None)


def _size(path: Path) -> int:
    """Return the bytes of a file, or of those in a directory: of its safetensors alone where it has any."""
    files = list(islice(path.rglob("*"), _MAX_FILES)) if path.is_dir() else [path]
    tensors = [file for file in files if file.suffix == ".safetensors"]
    return sum(_sizes(tensors or files))


def _sizes(files: list[Path]) -> Iterator[int]:
    for file in files:
        try:
            if file.is_file():
                yield file.stat().st_size
        except OSError:
            continue


def _entries(folder: Path) -> list[Path]:
    try:
        return list(islice(folder.iterdir(), _MAX_FILES))
    except OSError:
        return []
