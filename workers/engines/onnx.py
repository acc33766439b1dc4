"""The engine `onnx`: decoders in ONNX Runtime, with a decoding loop of our own and without torch."""

from infsup.protocol.spec import ModelSpec
from infsup.workers.engine import ModelInfo, Report
from infsup.workers.generation.engine import TextEngine
from infsup.workers.generation.model import TextModel


class OnnxEngine(TextEngine):
    """A .onnx file or a folder in the layout of the Hugging Face hub, exported with its KV cache."""

    options = TextEngine.options | {"onnx_file"}

    def open_model(self, spec: ModelSpec, report: Report) -> tuple[TextModel, ModelInfo]:
        """Load the session and its tokenizer."""
        from .onnx_load import load_text_model  # noqa: PLC0415 - imports numpy, onnxruntime and tokenizers

        return load_text_model(spec, report)
