"""The configuration: found, read, checked as a whole, with every mistake reported at once."""

from .load import find_config, load_config, parse_config
from .models import Device, FileRef, ModelConfig
from .problems import ConfigError, Problem, format_problems
from .root import Config
from .tables import Log, Pool, Server, Store
from .units import Share, Size

__all__ = [
    "Config",
    "ConfigError",
    "Device",
    "FileRef",
    "Log",
    "ModelConfig",
    "Pool",
    "Problem",
    "Server",
    "Share",
    "Size",
    "Store",
    "find_config",
    "format_problems",
    "load_config",
    "parse_config",
]
