"""Checks of a model's files: that they are there, and are of the kind that the engine reads."""

from pathlib import Path

from .disk import why_unreadable
from .engines import is_custom
from .models import FileRef, ModelConfig
from .problems import Findings, KeyPath

_GGUF_MAGIC = b"GGUF"
_NO_DOWNLOADS = "downloads are not there yet: give file"


def check_model_files(model: ModelConfig, path: KeyPath, findings: Findings) -> None:
    """Note missing sources, files that are not there, and files that the engine cannot read."""
    if not findings.sound((*path, "engine")):
        return
    place = (*path, "file")
    needed = model.engine in {"llama-cpp", "onnx"}
    directory = model.engine == "onnx" or is_custom(model.engine)
    if needed:
        _check_source(model, path, findings)
    _check_file(model, place, findings, directory=directory, needed=needed)
    for component, reference in model.files.items():
        below = (*path, "files", component)
        _check_source(reference, below, findings, needed=needed)
        _check_file(reference, (*below, "file"), findings, directory=directory and not needed, needed=needed)
    if needed and model.file and findings.sound(place):
        choice = model.options.get("onnx_file") or ""
        _check_kind(model.engine, model.file, choice if isinstance(choice, str) else "", place, findings)


def _check_source(source: ModelConfig | FileRef, path: KeyPath, findings: Findings, *, needed: bool = True) -> None:
    """Note that there is no file; where one is not `needed`, an address will do."""
    url, file = (*path, "url"), (*path, "file")
    if not findings.sound(url, file) or source.file:
        return
    if not source.url:
        wanted = "a path of an existing file" if needed else "a file, a url or both"
        findings.add(file, wanted, found="nothing" if needed else "neither url nor file")
    elif needed:
        findings.add(url, "a url together with a file that exists", note=_NO_DOWNLOADS)


def _check_file(
    source: ModelConfig | FileRef, place: KeyPath, findings: Findings, *, directory: bool, needed: bool
) -> None:
    if not source.file or not findings.sound(place, (*place[:-1], "url")) or (source.url and not needed):
        return
    reason = why_unreadable(source.file, directory=directory)
    if reason:
        wanted = "an existing file or directory" if directory else "an existing file"
        findings.add(place, wanted, note=f"{reason}; {_NO_DOWNLOADS}" if source.url else reason)


def _check_kind(engine: str, file: Path, choice: str, place: KeyPath, findings: Findings) -> None:
    try:
        if engine == "llama-cpp":
            wanted, reason = "a GGUF file", _why_no_gguf(file)
        else:
            wanted, reason = "an .onnx file, or a directory with one", _why_no_onnx(file, choice)
    except (OSError, ValueError) as error:  # ValueError: a NUL in `choice`
        wanted, reason = "a file that can be read", str(error)
    if reason:
        findings.add(place, wanted, note=reason)


def _why_no_gguf(file: Path) -> str:
    if not file.is_file():
        return ""  # a pipe or device could wait for ever
    with file.open("rb") as stream:
        magic = stream.read(len(_GGUF_MAGIC))
    return "" if magic == _GGUF_MAGIC else "it does not begin with the letters GGUF"


def _why_no_onnx(file: Path, choice: str) -> str:
    """Return why no model would be found, "" if one would: as the engine looks for it."""
    if not file.is_dir():
        return "" if file.suffix == ".onnx" else "its name does not end in .onnx"
    folders = (file / "onnx", file)
    if choice:
        found = any((folder / choice).is_file() for folder in folders)
        return "" if found else f"the directory has no {choice}, which options.onnx_file names"
    if any((folder / "model.onnx").is_file() for folder in folders):
        return ""
    names = sorted(path.name for folder in folders for path in folder.glob("*.onnx"))
    if len(names) > 1:
        return f"the directory has several, of which options.onnx_file picks one: {', '.join(names[:5])}"
    return "" if names else "the directory has no .onnx file, neither itself nor in onnx/"
