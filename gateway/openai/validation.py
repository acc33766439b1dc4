"""From a JSON object to a checked body; a refusal gives the field's path, what was found and what is allowed."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from infsup.gateway.body import is_array, is_object, shown
from infsup.protocol.errors import InvalidRequest

from .fields import drop_foreign
from .schemas import TextBody

B = TypeVar("B", bound=TextBody)
_MOST_SHOWN = 5
_ALLOWED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a string",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
_LIMITS = {
    "greater_than_equal": ("ge", "a number of at least {}"),
    "greater_than": ("gt", "a number above {}"),
    "less_than_equal": ("le", "a number of at most {}"),
    "string_too_short": ("min_length", "a string of at least {} character"),
    "string_too_long": ("max_length", "a string of at most {} characters"),
}


def read_body(cls: type[B], body: Mapping[str, Any]) -> B:
    """Check a body. Raises `InvalidRequest` or `UnsupportedParameter`; `param` is the first field at fault."""
    try:
        return cls.model_validate(drop_foreign(body, cls.model_fields))
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems = [(_path(detail["loc"]), _problem(detail)) for detail in details[:_MOST_SHOWN]]
        message = "; ".join(f"{path}: {problem}" for path, problem in problems)
        raise InvalidRequest(message, param=problems[0][0]) from error


def refusal(path: str, value: object, allowed: str) -> InvalidRequest:
    """Return the error for a wrong value at `path`."""
    return InvalidRequest(f"{path}: found {shown(value)}, allowed is {allowed}", param=path)


def check_integers(value: object, path: str) -> None:
    """Raise `InvalidRequest` for a whole number that a job cannot carry, anywhere in a parsed JSON value."""
    if is_object(value):
        for name, entry in value.items():
            check_integers(entry, f"{path}.{name[:80]}")
    elif is_array(value):
        for i, entry in enumerate(value):
            check_integers(entry, f"{path}[{i}]")
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise refusal(path[:200], value, f"a whole number from {-(2**63)} to {2**64 - 1}")


def _problem(detail: ErrorDetails) -> str:
    kind = detail["type"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is not known here"
    if kind in _LIMITS:
        name, wording = _LIMITS[kind]
        limit: Any = detail.get("ctx", {}).get(name)
        allowed = wording.format(f"{limit:g}" if isinstance(limit, float) else limit)
    else:
        allowed = _ALLOWED.get(kind) or detail["msg"]
    return f"found {shown(detail['input'])}, allowed is {allowed}"


def _path(loc: Sequence[str | int]) -> str:
    path = ""
    for step in loc:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path[:200]
