"""The configuration as a whole."""

from pathlib import Path

from pydantic import Field, PrivateAttr
from pydantic.fields import FieldInfo

from .models import Device, FileRef, ModelConfig
from .problems import KeyPath
from .rules import ListOf, Rule
from .tables import Log, Pool, Server, Store, Table


class Config(Table):
    """A checked configuration. Made by `load_config` and `parse_config`, which do the checks that need several keys."""

    server: Server = Server()
    pool: Pool = Pool()
    store: Store = Field(default_factory=Store)
    log: Log = Log()
    models: dict[str, ModelConfig] = Field(default_factory=dict[str, ModelConfig])
    _path: Path | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path | None:
        """The absolute path of the file, None for the built-in configuration and for mappings."""
        return self._path

    def at(self, path: Path | None) -> "Config":
        """Return the same configuration with the path it was read from."""
        copy = self.model_copy()
        copy._path = path  # noqa: SLF001 - its own class
        return copy

    def model_name(self, name: str) -> str | None:
        """Return the model that is called so, by its name or an alias; None if there is none."""
        if name in self.models:
            return name
        return next((model for model, config in self.models.items() if name in config.aliases), None)


def table_at(path: KeyPath) -> type[Table] | None:
    """Return the class of the table at a path, None where there is no table with fixed keys."""
    match path:
        case ():
            return Config
        case (str(section),) if section in _SECTIONS:
            return _SECTIONS[section]
        case ("models", _):
            return ModelConfig
        case ("models", _, "device"):
            return Device
        case ("models", _, "files", _):
            return FileRef
        case _:
            return None


_SECTIONS: dict[str, type[Table]] = {"server": Server, "pool": Pool, "store": Store, "log": Log}


def section_with(key: str) -> str:
    """Return the sections that have a key, as TOML writes them; "" if there is none."""
    owners = [f"[{name}]" for name, table in _SECTIONS.items() if key in table.model_fields]
    owners += ["[models.NAME]"] if key in ModelConfig.model_fields else []
    owners += ["device of [models.NAME]"] if key in Device.model_fields else []
    return " or ".join(owners)


def allowed_at(path: KeyPath) -> str:
    """Return in words what is allowed for the key at a path."""
    table = table_at(path[:-1])
    field = table.model_fields.get(str(path[-1])) if table else None
    return allowed_of(field) if field else "a table"


def allowed_of(field: FieldInfo) -> str:
    """Return in words what is allowed for a field."""
    return next((rule.allowed for rule in field.metadata if isinstance(rule, Rule | ListOf)), "a table")
