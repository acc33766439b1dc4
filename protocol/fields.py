"""Typed records from untrusted maps: the one place that checks message fields."""

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union

from .wire import WireError

T = TypeVar("T")


def to_map(record: Any) -> dict[str, Any]:
    """Return a record's fields as a plain map, without those at None."""
    # `dataclasses.asdict` would copy every list and map deeply, in the way of each job.
    values = ((name, getattr(record, name)) for name in _schema(record.__class__))
    return {name: to_map(value) if is_dataclass(value) else value for name, value in values if value is not None}


def from_map(cls: type[T], values: Mapping[str, Any]) -> T:
    """Build the dataclass `cls` from a map.

    Unknown keys are ignored (a newer peer may send more). Raises `WireError` naming the field that is missing or of
    the wrong type. Integers pass as floats, lists as tuples, maps as the dataclass that a field names.
    """
    arguments: dict[str, Any] = {}
    record_class: Any = cls
    for name, (kind, required) in _schema(record_class).items():
        if name not in values:
            if required:
                raise WireError(f"{cls.__name__}.{name} is missing")
            continue
        arguments[name] = _checked(values[name], kind, f"{cls.__name__}.{name}")
    return cls(**arguments)


@cache
def _schema(cls: Any) -> dict[str, tuple[Any, bool]]:
    hints = typing.get_type_hints(cls)
    return {
        field.name: (hints[field.name], field.default is MISSING and field.default_factory is MISSING)
        for field in fields(cls)
    }


def _checked(value: Any, kind: Any, where: str) -> Any:
    if kind is Any:
        return value
    origin = typing.get_origin(kind)
    if origin is Union or origin is types.UnionType:
        return _checked_union(value, typing.get_args(kind), where)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if origin is tuple and isinstance(value, list | tuple):
        item = typing.get_args(kind)[0]
        return tuple(_checked(entry, item, where) for entry in typing.cast("list[Any]", value))
    if is_dataclass(kind) and isinstance(value, Mapping):
        return from_map(typing.cast("type[Any]", kind), typing.cast("Mapping[str, Any]", value))
    plain = origin or kind
    wanted: type = dict if plain is Mapping else plain
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise WireError(f"{where}: expected {wanted.__name__}, found {type(value).__name__}")
    return value


def _checked_union(value: Any, kinds: tuple[Any, ...], where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        if kind is type(None):
            continue
        try:
            return _checked(value, kind, where)
        except WireError:
            continue
    raise WireError(f"{where}: expected {' or '.join(str(k) for k in kinds)}, found {type(value).__name__}")
