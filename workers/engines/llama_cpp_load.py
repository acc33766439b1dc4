"""Loading a GGUF file: every check that llama.cpp would answer with an abort comes before it is called."""

import ctypes
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from infsup.protocol.errors import ModelUnavailable, OutOfMemory
from infsup.protocol.spec import DeviceSpec, ModelSpec
from infsup.workers.engine import ModelInfo, Report
from infsup.workers.generation.choose_template import choose_template
from infsup.workers.generation.preload import read_preload
from infsup.workers.generation.shift import ContextShift
from infsup.workers.generation.template import ChatTemplate
from infsup.workers.generation.vocabulary import Vocabulary

from .llama_cpp_batch import Pace
from .llama_cpp_batcher import Batcher
from .llama_cpp_context import LlamaContext
from .llama_cpp_library import load_library
from .llama_cpp_options import MAX_DEVICES, LlamaOptions, read_options
from .llama_cpp_slots import Slots
from .llama_cpp_vocabulary import read_vocabulary

MAX_UBATCH = 512
MAX_CONTEXT = 2**31 - 1
MAX_SEQUENCES = 256
"""LLAMA_MAX_SEQ of llama.cpp."""
_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Facts:
    """What prompts are made with: a `PromptModel`."""

    vocabulary: Vocabulary
    template: ChatTemplate | None
    no_template: str
    context_size: int


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that answers requests. `close` frees it."""

    facts: Facts
    shift: ContextShift
    context: LlamaContext
    batcher: Batcher
    info: ModelInfo

    def close(self) -> None:
        """Free everything."""
        self.context.close()


@dataclass(frozen=True, slots=True)
class _Sizes:
    """`sequence`, `batch`, `ubatch` and `cells` are in tokens."""

    sequence: int
    parallel: int
    sequences: int
    batch: int
    ubatch: int
    cells: int


def load_model(spec: ModelSpec, report: Report) -> LoadedModel:
    """Load what a definition names.

    Raises `ModelUnavailable` saying what is wrong with the file, `InvalidRequest` for a wrong option, `OutOfMemory`.
    """
    options = read_options(spec.options)
    path = check_gguf(spec.file)
    library, _ = load_library()
    model = _load_weights(path, spec.device, options, report)
    try:
        return _with_context(library, model, spec, options, path=path, report=report)
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


def _load_weights(path: Path, device: DeviceSpec, options: LlamaOptions, report: Report) -> Any:
    library, log = load_library()
    params = library.llama_model_default_params()
    if device.gpu and not library.llama_supports_gpu_offload():
        _log.warning("this llama-cpp-python was built without GPU support: the model runs on the CPU")
    params.n_gpu_layers = device.gpu_layers if device.gpu else 0
    params.load_mode = (
        (library.LLAMA_LOAD_MODE_MMAP if options.mmap else library.LLAMA_LOAD_MODE_NONE)
        | (library.LLAMA_LOAD_MODE_MLOCK if device.mem_lock else 0)
    )  # fmt: skip
    params.main_gpu = options.main_gpu
    shares = (ctypes.c_float * MAX_DEVICES)(*options.tensor_split)
    if options.tensor_split:
        params.tensor_split = shares

    def on_progress(_share: float, _user_data: object) -> bool:
        report.progress()
        return True

    params.progress_callback = library.llama_progress_callback(on_progress)
    log.take_errors()
    model = library.llama_model_load_from_file(bytes(path), params)
    if not model:
        raise ModelUnavailable(f"llama.cpp cannot load {path}: {log.take_errors()}", param="file")
    return model


def _with_context(
    library: Any, model: Any, spec: ModelSpec, options: LlamaOptions, *, path: Path, report: Report
) -> LoadedModel:
    _check_kind(library, model, path)
    trained = int(library.llama_model_n_ctx_train(model))
    sizes = _sizes(spec, options, trained)
    vocabulary = read_vocabulary(library, model)
    facts = Facts(
        vocabulary, *choose_template(spec.options, _templates(library, model), vocabulary), context_size=sizes.sequence
    )
    preload = read_preload(facts, spec.preload)
    shift = ContextShift(options.context_shift, preload)
    sizes = _with_preload(sizes, len(preload.tokens))
    device = "gpu" if spec.device.gpu and library.llama_supports_gpu_offload() else "cpu"
    info = ModelInfo(sizes.sequence, device, _facts(library, model, trained))
    raw = _make_context(library, model, spec.device, options, sizes)
    try:
        context = LlamaContext(library, model, raw, sizes.batch)
        context.ingest(sizes.parallel, preload.tokens, report)
        slots = Slots(sizes.parallel, sizes.cells, can_cut=context.can_cut, preloaded=preload.tokens)
        pace = Pace(options.prefill_factor, options.prefill_chunk, sizes.batch)
        return LoadedModel(facts, shift, context, Batcher(context, slots, pace, vocabulary), info)
    except BaseException:
        library.llama_free(raw)
        raise


def _with_preload(sizes: _Sizes, tokens: int) -> _Sizes:
    """Add a sequence that holds the preloaded tokens. Raises `ModelUnavailable`."""
    most = MAX_SEQUENCES - bool(tokens)
    if sizes.parallel > most:
        raise ModelUnavailable(f"parallel: found {sizes.parallel}, allowed is at most {most} here", param="parallel")
    return replace(sizes, cells=sizes.cells + tokens, sequences=sizes.parallel + bool(tokens))


def _sizes(spec: ModelSpec, options: LlamaOptions, trained: int) -> _Sizes:
    """Decide on the sizes: what does not fit together ends in an abort of the process inside llama.cpp.

    Raises `ModelUnavailable`.
    """
    size, parallel = spec.context_size or trained, spec.parallel
    cells = options.kv_cells or size * parallel
    if not 0 < cells <= MAX_CONTEXT or size <= 0:
        times = f" for each of {parallel} sequences" if parallel > 1 else ""
        raise ModelUnavailable(
            f"context_size: found {size}{times}, allowed are 1 to {MAX_CONTEXT} together", param="context_size"
        )
    if cells < size:
        raise ModelUnavailable(
            f"options.kv_cells: found {cells}, allowed is at least context_size, {size}", param="options.kv_cells"
        )
    if size > trained:
        _log.warning("context_size %d is above the %d tokens that the model was trained with", size, trained)
    batch = max(1, parallel, min(spec.batch_size, size))
    ubatch = min(batch, options.ubatch_size or MAX_UBATCH)
    return _Sizes(size, parallel, parallel, min(batch, cells), min(ubatch, cells), cells)


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


def _make_context(library: Any, model: Any, device: DeviceSpec, options: LlamaOptions, sizes: _Sizes) -> Any:
    _, log = load_library()
    params = library.llama_context_default_params()
    params.n_ctx = sizes.cells
    params.n_batch = sizes.batch
    params.n_ubatch = sizes.ubatch
    params.n_seq_max = sizes.sequences
    params.kv_unified = True
    params.n_threads = max(1, device.cpu_threads)
    params.n_threads_batch = options.threads_batch or params.n_threads
    params.type_k = getattr(library, f"GGML_TYPE_{options.cache_type_k.upper()}")
    params.type_v = getattr(library, f"GGML_TYPE_{options.cache_type_v.upper()}")
    params.flash_attn_type = _FLASH[options.flash_attention]
    params.offload_kqv = options.offload_kqv
    params.no_perf = True
    log.take_errors()
    context = library.llama_init_from_model(model, params)
    if not context:
        reason = log.take_errors()
        kind = OutOfMemory if "alloc" in reason else ModelUnavailable
        raise kind(f"llama.cpp cannot make a context of {sizes.cells} tokens: {reason}", param="context_size")
    if not library.llama_get_memory(context):
        library.llama_free(context)
        raise ModelUnavailable("this is an embedding model: it cannot generate text", param="file")
    return context


_FLASH: Mapping[str, int] = {"auto": -1, "off": 0, "on": 1}
"""llama_flash_attn_type of llama.h."""


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
