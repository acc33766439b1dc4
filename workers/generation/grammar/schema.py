"""JSON Schemas that are held to the letter: what an answer's grammar allows is valid, always.

The grammar itself is made by llguidance, which is strict about most. This reads a schema first: it names the place of
every mistake, refuses what cannot be held, and writes the rest so that no doubt is left (formats and patterns as
explicit sets, bounds moved out of reach of rounding, old drafts as the current one).
"""

from collections.abc import Mapping
from typing import Any

from infsup.workers.generation.checks import is_list, is_map

from . import keywords
from .formats import FORMATS
from .numbers import bounds, multiple
from .patterns import PatternError, explicit
from .places import JsonMap, Place

MAX_DEPTH = 60
MAX_SCHEMAS = 5000
MAX_VALUES = 10_000
MAX_COUNT = 2**31 - 1
MAX_COMBINED = 8
"""Patterns in a schema that combines schemas: all that hold for one text at once are searched together."""


def hold(schema: object, field: str) -> JsonMap | bool:
    """Return the schema as it is given to the grammar.

    Raises `InvalidRequest` for what is no schema and `UnsupportedParameter` for what cannot be held; both name the
    place, what was found and what is allowed.
    """
    holder = _Holder(schema, Place(field))
    held = holder.schema(schema, Place(field), 0)
    holder.check_references()
    return held


class _Holder:
    """Walks through one schema."""

    def __init__(self, root: object, place: Place) -> None:
        self._places = 0
        self._known: set[str] = set()
        self._references: list[tuple[Place, str]] = []
        self._same_value: dict[str, list[str]] = {}
        self._patterns = 0
        self._combines = False
        self._lists_of_items = _reads_lists(root, place)

    def check_references(self) -> None:
        """Raise `InvalidRequest` for a reference to what is no schema here, or back to itself."""
        for place, target in self._references:
            if target not in self._known:
                raise place.wrong(f"#{target}", "a pointer to a schema in here, e.g. #/$defs/name")
        for place, target in self._references:
            if _reaches(self._same_value, target, place.pointer.removesuffix("/$ref")):
                raise place.wrong(f"#{target}", "a pointer to a schema that does not come back here for the same value")

    def schema(self, value: object, place: Place, depth: int) -> JsonMap | bool:
        """Hold one schema and all below it."""
        self._places += 1
        if self._places > MAX_SCHEMAS:
            raise place.unheld(f"more than {MAX_SCHEMAS} schemas in one")
        if depth > MAX_DEPTH:
            raise place.unheld(f"more than {MAX_DEPTH} schemas in one another")
        self._known.add(place.pointer)
        if isinstance(value, bool):
            return value
        given = _mapped(value, place)
        _refuse_unheld(given, place)
        held: JsonMap = {}
        self._add_type(given, held, place)
        self._add_schemas(given, held, place, depth + 1)
        self._add_items(given, held, place, depth + 1)
        _add_values(given, held, place)
        _add_limits(given, held, place)
        _add_texts(given, held, place)
        self._count_patterns(given, place)
        _add_required(given, held, place)
        if "$ref" in given:
            held["$ref"] = self._reference(given["$ref"], place)
        return held

    def _count_patterns(self, given: Mapping[str, Any], place: Place) -> None:
        self._patterns += ("pattern" in given) + ("format" in given) + len(given.get("patternProperties", ()))
        self._combines = self._combines or "allOf" in given or ("$ref" in given and len(given) > 1)
        if self._combines and self._patterns > MAX_COMBINED:
            raise place.unheld(f"more than {MAX_COMBINED} patterns and formats together with allOf cannot be held")

    def _add_type(self, given: Mapping[str, Any], held: JsonMap, place: Place) -> None:
        if "type" in given:
            value, where = given["type"], place.at("type")
            types: list[Any] = list(value) if is_list(value) else [value]
            if not types or any(name not in keywords.TYPES for name in types):
                raise where.wrong(value, f"one or several of {', '.join(keywords.TYPES)}")
            held["type"] = types if is_list(value) else value
        elif not keywords.CHOOSE & given.keys():
            # A sloppy schema: `properties` alone would be satisfied by any number.
            if keywords.OF_OBJECTS & given.keys():
                held["type"] = "object"
            elif keywords.OF_ARRAYS & given.keys():
                held["type"] = "array"

    def _add_schemas(self, given: Mapping[str, Any], held: JsonMap, place: Place, depth: int) -> None:
        for name in keywords.MAPS_OF_SCHEMAS:
            if name in given:
                entries = _mapped(given[name], place.at(name))
                for key in entries:
                    _check_text(key, place.at(name))
                held[name] = {
                    key: self.schema(entry, place.at(name, key), depth) for key, entry in entries.items()
                }  # fmt: skip
        for name in keywords.LISTS_OF_SCHEMAS:
            if name in given:
                listed = _listed(given[name], place.at(name))
                if not listed:
                    raise place.at(name).wrong(listed, "a list of at least one schema")
                held[name] = [self.schema(entry, place.at(name, i), depth) for i, entry in enumerate(listed)]
                if name != "prefixItems":
                    same = self._same_value.setdefault(place.pointer, [])
                    same += (place.at(name, i).pointer for i in range(len(listed)))
        if "additionalProperties" in given:
            where = place.at("additionalProperties")
            held["additionalProperties"] = self.schema(given["additionalProperties"], where, depth)
        if "patternProperties" in given:
            where = place.at("patternProperties")
            held["patternProperties"] = {
                _pattern(key, where.at(key)): self.schema(entry, where.at(key), depth)
                for key, entry in _mapped(given["patternProperties"], where).items()
            }

    def _add_items(self, given: Mapping[str, Any], held: JsonMap, place: Place, depth: int) -> None:
        value: Any = given.get("items", True)
        if not is_list(value):
            if "items" in given:
                held["items"] = self.schema(value, place.at("items"), depth)
            return
        if not self._lists_of_items:
            raise place.at("items").wrong(value, "a schema; what each item is says prefixItems")
        # Older drafts.
        where = place.at("items")
        if value:
            held["prefixItems"] = [self.schema(entry, where.at(i), depth) for i, entry in enumerate(value)]
        held["items"] = self.schema(given.get("additionalItems", True), place.at("additionalItems"), depth)

    def _reference(self, value: object, schema: Place) -> str:
        place = schema.at("$ref")
        if not isinstance(value, str) or not (value == "#" or value.startswith("#/")):
            raise place.wrong(value, "a pointer to a schema in here, e.g. #/$defs/name")
        if self._lists_of_items and "/items/" in value:
            raise place.unheld("references into a list of items cannot be held; move the schema to $defs")
        if "/patternProperties/" in value:
            raise place.unheld("references into patternProperties cannot be held; move the schema to $defs")
        self._references.append((place, value[1:]))
        self._same_value.setdefault(schema.pointer, []).append(value[1:])
        return value


def _reaches(edges: Mapping[str, list[str]], start: str, end: str) -> bool:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        current = waiting.pop()
        if current == end:
            return True
        if current not in seen:
            seen.add(current)
            waiting += edges.get(current, ())
    return False


def _reads_lists(root: object, place: Place) -> bool:
    draft = root.get("$schema") if is_map(root) else None
    if draft is None:
        return False
    name = draft.removesuffix("#") if isinstance(draft, str) else ""
    if name not in keywords.DRAFTS:
        raise place.at("$schema").wrong(draft, " or ".join(keywords.DRAFTS))
    return keywords.DRAFTS[name]


def _refuse_unheld(given: Mapping[str, Any], place: Place) -> None:
    for name in given:
        if name in keywords.NOT_HELD:
            raise place.at(name).unheld(keywords.NOT_HELD[name])
    if given.get("uniqueItems"):
        raise place.at("uniqueItems").unheld("that items differ cannot be held")


def _add_values(given: Mapping[str, Any], held: JsonMap, place: Place) -> None:
    if "const" in given:
        _check_value(given["const"], place.at("const"), 0)
        held["const"] = given["const"]
    if "enum" in given:
        values = _listed(given["enum"], place.at("enum"))
        if not values or len(values) > MAX_VALUES:
            raise place.at("enum").wrong(values, f"a list of 1 to {MAX_VALUES} values")
        for i, value in enumerate(values):
            _check_value(value, place.at("enum", i), 0)
        held["enum"] = values


def _check_value(value: object, place: Place, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise place.unheld(f"more than {MAX_DEPTH} values in one another")
    if isinstance(value, str):
        _check_text(value, place)
    elif is_map(value):
        for key, entry in value.items():
            _check_text(key, place)
            _check_value(entry, place.at(str(key)), depth + 1)
    elif is_list(value):
        for i, entry in enumerate(value):
            _check_value(entry, place.at(i), depth + 1)
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise place.unheld("integers of more than 64 bits cannot be held")
    elif isinstance(value, float) and abs(value) > 1e15:
        raise place.unheld("floating-point numbers beyond 1e15 cannot be held")


def _check_text(value: object, place: Place) -> None:
    if not isinstance(value, str):
        raise place.wrong(value, "text")
    if any(character < " " and character not in "\b\f\n\r\t" for character in value):
        raise place.unheld("control characters cannot be held")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise place.wrong(value, "Unicode text")


def _add_limits(given: Mapping[str, Any], held: JsonMap, place: Place) -> None:
    integer = held.get("type") in ("integer", ["integer"])
    held |= bounds(given, place, integer=integer)
    if "multipleOf" in given:
        held["multipleOf"] = multiple(given["multipleOf"], place.at("multipleOf"))
    for name in keywords.COUNTS:
        if name not in given:
            continue
        count: Any = given[name]
        if isinstance(count, float) and count.is_integer():
            count = int(count)
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MAX_COUNT:
            raise place.at(name).wrong(count, f"a whole number from 0 to {MAX_COUNT}")
        held[name] = count
    required: Any = given.get("required", ())
    least = held.pop("minProperties", 0)
    if least > (len(set(required)) if is_list(required) else 0):
        if least > 1:
            # Names may come twice, and then count once.
            raise place.at("minProperties").unheld("more than the required properties and more than 1 cannot be held")
        held["minProperties"] = least


def _add_texts(given: Mapping[str, Any], held: JsonMap, place: Place) -> None:
    patterns: list[str] = []
    if "pattern" in given:
        patterns.append(_pattern(given["pattern"], place.at("pattern")))
    if "format" in given:
        name: Any = given["format"]
        if not isinstance(name, str) or name not in FORMATS:
            raise place.at("format").unheld(f"found {str(name)[:40]!r}, allowed is one of {', '.join(FORMATS)}")
        patterns.append(f"^(?:{explicit(FORMATS[name], whole=True)})$")
    if patterns:
        held["pattern"] = patterns[0]
    if len(patterns) > 1:
        held["allOf"] = [*held.get("allOf", ()), {"pattern": patterns[1]}]


def _pattern(value: object, place: Place) -> str:
    if not isinstance(value, str):
        raise place.wrong(value, "a regular expression")
    try:
        return f"^(?:{explicit(value, whole=False)})$"
    except PatternError as error:
        raise place.unheld(f"character {error.position + 1} begins {error.problem}") from error


def _add_required(given: Mapping[str, Any], held: JsonMap, place: Place) -> None:
    if "required" not in given:
        return
    names = _listed(given["required"], place.at("required"))
    for i, name in enumerate(names):
        _check_text(name, place.at("required", i))
    held["required"] = list(dict.fromkeys(names))


def _mapped(value: object, place: Place) -> Mapping[str, Any]:
    if not is_map(value):
        raise place.wrong(value, "a schema (an object, true or false)" if not place.pointer else "an object")
    return value


def _listed(value: object, place: Place) -> list[Any]:
    if not is_list(value):
        raise place.wrong(value, "a list")
    return list(value)
