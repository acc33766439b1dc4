"""Which files belong to an ONNX model: a file, or a folder in the layout of the Hugging Face hub."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infsup.protocol.errors import ModelUnavailable

COMPONENTS: Mapping[str, str] = {"tokenizer": "tokenizer.json", "config": "config.json"}
"""Names in the configuration's `files`, and the files that they replace."""


@dataclass(frozen=True, slots=True)
class OnnxFiles:
    """`model` is the .onnx file; the others are looked for in `folders`, unless `named`."""

    model: Path
    folders: tuple[Path, ...]
    named: Mapping[str, Path]

    def find(self, name: str) -> Path | None:
        """Return the first file of this name, None if there is none."""
        if name in self.named:
            return self.named[name]
        return next((folder / name for folder in self.folders if (folder / name).is_file()), None)


def find_files(file: str, files: Mapping[str, str], choice: str = "") -> OnnxFiles:
    """Find a model's files: `file` is a .onnx file or a folder, `choice` names one of several in a folder.

    Raises `ModelUnavailable` saying what is missing or ambiguous.
    """
    path = Path(file)
    if not file or not path.exists():
        raise ModelUnavailable(f"the model file {file or '(none)'} does not exist", param="file")
    model = _in_folder(path, choice) if path.is_dir() else path
    if model.suffix != ".onnx":
        raise ModelUnavailable(f"{model} is no .onnx file", param="file")
    named = {COMPONENTS[name]: Path(value) for name, value in files.items() if name in COMPONENTS}
    for value in named.values():
        if not value.is_file():
            raise ModelUnavailable(f"the file {value} does not exist", param="files")
    return OnnxFiles(model, (model.parent / model.stem, model.parent, model.parent.parent), named)


def _in_folder(folder: Path, choice: str) -> Path:
    if choice:
        found = [path for path in (folder / choice, folder / "onnx" / choice) if path.is_file()]
        if not found:
            raise ModelUnavailable(f"{folder} has no {choice}", param="options.onnx_file")
        return found[0]
    for usual in (folder / "onnx" / "model.onnx", folder / "model.onnx"):
        if usual.is_file():
            return usual
    found = sorted([*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx")])
    if len(found) == 1:
        return found[0]
    if not found:
        raise ModelUnavailable(f"{folder} has no .onnx file", param="file")
    names = ", ".join(str(path.relative_to(folder)) for path in found)
    raise ModelUnavailable(f"{folder} has several .onnx files ({names}): options.onnx_file picks one", param="file")
