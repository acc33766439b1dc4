"""Where in a request something is: the field's name and a JSON pointer (RFC 6901) into its value."""

from dataclasses import dataclass
from typing import Any

from infsup.protocol.errors import InvalidRequest, UnsupportedParameter
from infsup.workers.generation.checks import refusal


@dataclass(frozen=True, slots=True)
class Place:
    """E.g. `response_format.json_schema.schema#/properties/age`; the whole value is the field alone."""

    field: str
    pointer: str = ""

    def at(self, *steps: str | int) -> "Place":
        """Return the place so many steps further in."""
        escaped = (str(step).replace("~", "~0").replace("/", "~1") for step in steps)
        return Place(self.field, self.pointer + "".join(f"/{step}" for step in escaped))

    @property
    def shown(self) -> str:
        """The place in words for people, cut when it is very long."""
        text = f"{self.field}#{self.pointer}" if self.pointer else self.field
        return text if len(text) <= 200 else f"{text[:120]}…{text[-60:]}"

    def wrong(self, value: object, allowed: str) -> InvalidRequest:
        """Return the error for a value that is not allowed here."""
        return refusal(self.shown, value, allowed)

    def unheld(self, problem: str) -> UnsupportedParameter:
        """Return the error for what is right, but cannot be held."""
        return UnsupportedParameter(f"{self.shown}: {problem}", param=self.shown)


JsonMap = dict[str, Any]
