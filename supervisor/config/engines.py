"""Which engines exist, which tasks each can serve, and which of them this version has: what may be combined."""

import importlib.metadata
import re
from collections.abc import Mapping
from dataclasses import dataclass

from infsup.protocol.job import TASKS

ENTRY_POINT_GROUP = "infsup.engines"
_TEXT = frozenset({"text-completion", "chat-completion"})
_VISION = frozenset({"image-to-text", "object-detection"})
_SPEECH = frozenset({"speech-to-text", "text-to-speech"})
_CLASS_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True, slots=True)
class EngineTasks:
    """The tasks that an engine serves in this version, and those that it will; an engine without `now` is to come."""

    now: frozenset[str] = frozenset()
    later: frozenset[str] = frozenset()


ENGINES: Mapping[str, EngineTasks] = {
    "llama-cpp": EngineTasks(now=_TEXT, later=frozenset({"embedding", "rerank"})),
    "onnx": EngineTasks(now=_TEXT, later=frozenset({"embedding", "text-classification"})),
    "fault": EngineTasks(now=_TEXT | {"embedding"}),
    "gpt4all": EngineTasks(later=_TEXT | {"embedding"}),
    "transformers": EngineTasks(later=_TEXT | _VISION | _SPEECH | {"embedding", "text-classification"}),
    "stable-diffusion-cpp": EngineTasks(later=frozenset({"text-to-image", "image-to-image"})),
}
"""The built-in engines: `now` is what the workers' registry says. A custom engine may serve any task."""

SERVED: Mapping[str, frozenset[str]] = {name: tasks.now for name, tasks in ENGINES.items() if tasks.now}
"""The built-in engines of this version, and their tasks."""


def is_custom(engine: str) -> bool:
    """Tell whether an engine is the user's own."""
    return engine not in SERVED


def installed_engines() -> tuple[str, ...]:
    """Return the names of custom engines that installed packages offer; none of them is imported."""
    return tuple(sorted({entry.name for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}))


def is_class_path(engine: str) -> bool:
    """Tell whether an engine has the form `package.module:Class`."""
    return _CLASS_PATH.fullmatch(engine) is not None


def describe_engines() -> str:
    """Return the allowed engines in words."""
    return ", ".join(SERVED) + f", package.module:Class, or an installed entry point of {ENTRY_POINT_GROUP}"


def describe_tasks() -> str:
    """Return the allowed tasks in words."""
    return ", ".join(sorted(TASKS)) + "; a custom engine may have others, in small letters, digits and -"
