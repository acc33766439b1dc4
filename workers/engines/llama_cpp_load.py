"""Loading a GGUF file: every check that llama.cpp would answer with an abort comes before it is called."""

import ctypes
import logging
from pathlib import Path
from typing import Any

from infsup.protocol.errors import ModelUnavailable, OutOfMemory
from infsup.protocol.spec import DeviceSpec, ModelSpec
from infsup.workers.engine import ModelInfo, Report
from infsup.workers.generation.choose_template import choose_template

from .llama_cpp_library import load_library
from .llama_cpp_model import LlamaTextModel
from .llama_cpp_vocabulary import read_vocabulary

MAX_UBATCH = 512
MAX_CONTEXT = 2**31 - 1
_log = logging.getLogger(__name__)


def load_text_model(spec: ModelSpec, report: Report) -> tuple[LlamaTextModel, ModelInfo]:
    """Load what a definition names. Raises `ModelUnavailable` saying what is wrong with the file."""
    path = check_gguf(spec.file)
    library, _ = load_library()
    model = _load_model(path, spec.device, report)
    try:
        return _with_context(library, model, spec, path)
    except BaseException:
        library.llama_model_free(model)
        raise


def check_gguf(file: str) -> Path:
    """Return the path of an existing file that begins like a GGUF. Raises `ModelUnavailable`."""
    path = Path(file)
    if not file or not path.exists():
        raise ModelUnavailable(f"the model file {file or '(none)'} does not exist", param="file")
    if path.is_dir():
        raise ModelUnavailable(f"{path} is a folder, needed is a .gguf file", param="file")
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        raise ModelUnavailable(f"{path} cannot be read: {error.strerror}", param="file") from error
    if magic != b"GGUF":
        raise ModelUnavailable(f"{path} is no GGUF file: it begins with {magic!r}", param="file")
    return path


def _load_model(path: Path, device: DeviceSpec, report: Report) -> Any:
    library, log = load_library()
    params = library.llama_model_default_params()
    if device.gpu and not library.llama_supports_gpu_offload():
        _log.warning("this llama-cpp-python was built without GPU support: the model runs on the CPU")
    params.n_gpu_layers = device.gpu_layers if device.gpu else 0
    params.load_mode = library.LLAMA_LOAD_MODE_MMAP_MLOCK if device.mem_lock else library.LLAMA_LOAD_MODE_MMAP

    def on_progress(_share: float, _user_data: object) -> bool:
        report.progress()
        return True

    params.progress_callback = library.llama_progress_callback(on_progress)
    log.take_errors()
    model = library.llama_model_load_from_file(bytes(path), params)
    if not model:
        raise ModelUnavailable(f"llama.cpp cannot load {path}: {log.take_errors()}", param="file")
    return model


def _with_context(library: Any, model: Any, spec: ModelSpec, path: Path) -> tuple[LlamaTextModel, ModelInfo]:
    _check_kind(library, model, path)
    trained = int(library.llama_model_n_ctx_train(model))
    size = spec.context_size or trained
    if not 0 < size <= MAX_CONTEXT:
        raise ModelUnavailable(f"context_size: found {size}, allowed is 1 to {MAX_CONTEXT}", param="context_size")
    if size > trained:
        _log.warning("context_size %d is above the %d tokens that the model was trained with", size, trained)
    batch_size = max(1, min(spec.batch_size, size))
    context = _make_context(library, model, spec.device, size, batch_size)
    try:
        vocabulary = read_vocabulary(library, model)
        text_model = LlamaTextModel(
            library,
            model,
            context,
            vocabulary=vocabulary,
            template=choose_template(spec.options, _templates(library, model), vocabulary),
            context_size=size,
            batch_size=batch_size,
        )
    except BaseException:
        library.llama_free(context)
        raise

    device = "gpu" if spec.device.gpu and library.llama_supports_gpu_offload() else "cpu"
    return text_model, ModelInfo(size, device, _facts(library, model, trained))


def _check_kind(library: Any, model: Any, path: Path) -> None:
    architecture = meta(library, model, "general.architecture")
    causal = meta(library, model, f"{architecture}.attention.causal")
    if causal == "false":
        raise ModelUnavailable(f"{path} is an embedding model ({architecture}): it cannot generate text", param="file")
    if library.llama_model_has_encoder(model) or not library.llama_model_has_decoder(model):
        raise ModelUnavailable(
            f"{path} has an encoder ({architecture}): only decoders generate text here", param="file"
        )
    vocab = library.llama_model_get_vocab(model)
    if library.llama_vocab_type(vocab) == library.LLAMA_VOCAB_TYPE_NONE:
        raise ModelUnavailable(f"{path} has no vocabulary: it cannot generate text", param="file")


def _make_context(library: Any, model: Any, device: DeviceSpec, size: int, batch_size: int) -> Any:
    _, log = load_library()
    params = library.llama_context_default_params()
    params.n_ctx = size
    params.n_batch = batch_size
    params.n_ubatch = min(batch_size, MAX_UBATCH)
    params.n_seq_max = 1
    params.n_threads = params.n_threads_batch = max(1, device.cpu_threads)
    params.no_perf = True
    log.take_errors()
    context = library.llama_init_from_model(model, params)
    if not context:
        reason = log.take_errors()
        kind = OutOfMemory if "alloc" in reason else ModelUnavailable
        raise kind(f"llama.cpp cannot make a context of {size} tokens: {reason}", param="context_size")
    if not library.llama_get_memory(context):
        library.llama_free(context)
        raise ModelUnavailable("this is an embedding model: it cannot generate text", param="file")
    return context


def _templates(library: Any, model: Any) -> dict[str, str]:
    named = {"default": None, "tool_use": b"tool_use"}
    found = {name: library.llama_model_chat_template(model, key) for name, key in named.items()}
    return {name: text.decode(errors="replace") for name, text in found.items() if text}


def _facts(library: Any, model: Any, trained: int) -> dict[str, Any]:
    return {
        "architecture": meta(library, model, "general.architecture"),
        "parameters": int(library.llama_model_n_params(model)),
        "layers": int(library.llama_model_n_layer(model)),
        "trained_context": trained,
    }


def meta(library: Any, model: Any, key: str) -> str:
    """Return a value of the file's metadata as text, "" if it is not there."""
    buffer = ctypes.create_string_buffer(256)
    length = library.llama_model_meta_val_str(model, key.encode(), buffer, len(buffer))
    return buffer.value.decode(errors="replace") if length >= 0 else ""
