"""Loading a decoder for ONNX Runtime: session, tokenizer, template and limits."""

import importlib
import json
import logging
from typing import Any

from infsup.protocol.errors import ModelUnavailable
from infsup.protocol.spec import DeviceSpec, ModelSpec
from infsup.workers.engine import ModelInfo, Report
from infsup.workers.generation.choose_template import choose_template
from infsup.workers.generation.hf_folder import end_token_ids, read_json, template_sources, trained_context
from infsup.workers.generation.hf_tokenizer import load_vocabulary
from infsup.workers.generation.vocabulary import Vocabulary

from .onnx_files import OnnxFiles, find_files
from .onnx_layout import read_layout
from .onnx_model import OnnxTextModel

FALLBACK_CONTEXT = 2048
"""For a model whose configuration names no length and a definition that names none either; tokens."""

_log = logging.getLogger(__name__)


def load_text_model(spec: ModelSpec, report: Report) -> tuple[OnnxTextModel, ModelInfo]:
    """Load what a definition names. Raises `ModelUnavailable` saying what is wrong with which file."""
    files = find_files(spec.file, spec.files, str(spec.options.get("onnx_file", "")))
    config = _json(files, "config.json")
    tokenizer_config = _json(files, "tokenizer_config.json")
    report.progress()
    session = open_session(str(files.model), spec.device)
    report.progress()
    layout = read_layout(session.get_inputs(), session.get_outputs())
    size = layout.vocabulary or int(config.get("vocab_size") or 0)
    vocabulary = _vocabulary(files, config, tokenizer_config, size)
    template = choose_template(
        spec.options, template_sources(tokenizer_config, files.find("chat_template.jinja")), vocabulary
    )
    context_size = _context_size(spec.context_size, trained_context(config))
    model = OnnxTextModel(
        session,
        layout,
        vocabulary=vocabulary,
        template=template,
        context_size=context_size,
        batch_size=spec.batch_size,
    )
    device = "gpu" if "CUDAExecutionProvider" in session.get_providers() else "cpu"
    facts: dict[str, Any] = {"layers": len(layout.cache) // 2, "vocabulary": len(vocabulary.pieces)}
    if isinstance(config.get("model_type"), str):
        facts["architecture"] = config["model_type"]
    return model, ModelInfo(context_size=context_size, device=device, facts=facts)


def open_session(path: str, device: DeviceSpec) -> Any:
    """Return an `InferenceSession` that waits passively and uses the threads it is given.

    Raises `ModelUnavailable`.
    """
    ort: Any = importlib.import_module("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = device.cpu_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # each token is a new shape, and a pattern would be kept for every one
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = ["CPUExecutionProvider"]
    if device.gpu:
        if "CUDAExecutionProvider" in ort.get_available_providers():
            providers.insert(0, "CUDAExecutionProvider")
        else:
            _log.warning("this onnxruntime has no CUDA provider: the model runs on the CPU")
    try:
        return ort.InferenceSession(path, options, providers=providers)
    except Exception as error:
        raise ModelUnavailable(f"onnxruntime cannot load {path}: {error}", param="file") from error


def _json(files: OnnxFiles, name: str) -> dict[str, Any]:
    try:
        return read_json(files.find(name))
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{files.find(name)} cannot be read: {error}") from error


def _vocabulary(files: OnnxFiles, config: dict[str, Any], tokenizer_config: dict[str, Any], size: int) -> Vocabulary:
    path = files.find("tokenizer.json")
    if path is None:
        places = ", ".join(map(str, files.folders))
        raise ModelUnavailable(f"no tokenizer.json for {files.model}: looked in {places}", param="files.tokenizer")
    ends = end_token_ids(_json(files, "generation_config.json"), config)
    try:
        return load_vocabulary(path, tokenizer_config, ends, size)
    except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
        raise ModelUnavailable(f"{path} is no tokenizer: {error}", param="files.tokenizer") from error


def _context_size(wanted: int, trained: int) -> int:
    if wanted and trained and wanted > trained:
        _log.warning("context_size %d is above the %d tokens that the model knows: using %d", wanted, trained, trained)
        return trained
    return wanted or trained or FALLBACK_CONTEXT
