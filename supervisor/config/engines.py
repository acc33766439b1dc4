"""Which engines exist and which tasks each can serve: what a configuration may combine."""

import importlib.metadata
import re
from collections.abc import Mapping

from infsup.protocol.job import TASKS

ENTRY_POINT_GROUP = "infsup.engines"
_TEXT = frozenset({"text-completion", "chat-completion", "embedding"})
_CLASS_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)

ENGINE_TASKS: Mapping[str, frozenset[str]] = {
    "llama-cpp": _TEXT | {"rerank"},
    "gpt4all": _TEXT,
    "transformers": _TEXT
    | {"image-to-text", "speech-to-text", "text-to-speech", "object-detection", "text-classification"},
    "onnx": _TEXT | {"text-classification"},
    "stable-diffusion-cpp": frozenset({"text-to-image", "image-to-image"}),
    "fault": _TEXT,
}
"""The built-in engines. A custom engine may serve any task."""

DIRECTORY_ENGINES = frozenset({"onnx", "transformers"})
"""The built-in engines whose model may be a directory."""


def is_custom(engine: str) -> bool:
    """Tell whether an engine is the user's own."""
    return engine not in ENGINE_TASKS


def installed_engines() -> tuple[str, ...]:
    """Return the names of custom engines that installed packages offer; none of them is imported."""
    return tuple(sorted({entry.name for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}))


def is_class_path(engine: str) -> bool:
    """Tell whether an engine has the form `package.module:Class`."""
    return _CLASS_PATH.fullmatch(engine) is not None


def describe_engines() -> str:
    """Return the allowed engines in words."""
    return ", ".join(ENGINE_TASKS) + f", package.module:Class, or an installed entry point of {ENTRY_POINT_GROUP}"


def describe_tasks() -> str:
    """Return the allowed tasks in words."""
    return ", ".join(sorted(TASKS)) + "; a custom engine may have others, in small letters, digits and -"
