"""The engine `llama-cpp`: GGUF models in llama.cpp, on the low-level API of llama-cpp-python."""

from infsup.protocol.spec import ModelSpec
from infsup.workers.engine import ModelInfo, Report
from infsup.workers.generation.engine import TextEngine
from infsup.workers.generation.model import TextModel


class LlamaCppEngine(TextEngine):
    """A GGUF file with a decoder."""

    def open_model(self, spec: ModelSpec, report: Report) -> tuple[TextModel, ModelInfo]:
        """Load the file and make a context."""
        from .llama_cpp_load import load_text_model  # noqa: PLC0415 - imports llama_cpp

        return load_text_model(spec, report)
