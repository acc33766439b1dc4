"""JSON Schema's keywords, by what is done with them."""

from collections.abc import Mapping

TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")

ANNOTATIONS = frozenset({
    "$schema", "$comment", "title", "description", "default", "examples", "example", "deprecated", "readOnly",
    "writeOnly", "contentEncoding", "contentMediaType", "contentSchema", "nullable", "discriminator", "xml",
    "externalDocs",
})  # fmt: skip
"""They say nothing about which values are valid (`nullable` is not JSON Schema's: "null" has to be a type)."""

NOT_HELD: Mapping[str, str] = {
    "not": "values that are not something cannot be held",
    "if": "conditions cannot be held",
    "then": "conditions cannot be held",
    "else": "conditions cannot be held",
    "contains": "what an array has to contain cannot be held",
    "minContains": "what an array has to contain cannot be held",
    "maxContains": "what an array has to contain cannot be held",
    "dependencies": "dependencies between properties cannot be held",
    "dependentRequired": "dependencies between properties cannot be held",
    "dependentSchemas": "dependencies between properties cannot be held",
    "propertyNames": "names of properties cannot be held; patternProperties with additionalProperties false can",
    "unevaluatedProperties": "cannot be held; additionalProperties can",
    "unevaluatedItems": "cannot be held; items can",
    "$id": "schemas with names of their own cannot be held; $ref with a pointer (#/$defs/…) can",
    "$anchor": "schemas with names of their own cannot be held; $ref with a pointer (#/$defs/…) can",
    "$dynamicRef": "dynamic references cannot be held; $ref can",
    "$dynamicAnchor": "dynamic references cannot be held; $ref can",
    "$recursiveRef": "dynamic references cannot be held; $ref can",
    "$recursiveAnchor": "dynamic references cannot be held; $ref can",
    "$vocabulary": "other vocabularies cannot be held",
}

DRAFTS: Mapping[str, bool] = {
    "https://json-schema.org/draft/2020-12/schema": False,
    "https://json-schema.org/draft/2019-09/schema": True,
    "http://json-schema.org/draft-07/schema": True,
    "http://json-schema.org/draft-06/schema": True,
}
"""The drafts that are read, and whether `items` may be a list there (`prefixItems` of today)."""

MAPS_OF_SCHEMAS = ("properties", "$defs", "definitions")
LISTS_OF_SCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")
COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")

OF_OBJECTS = frozenset({"properties", "required", "additionalProperties", "patternProperties"})
OF_ARRAYS = frozenset({"items", "prefixItems"})
CHOOSE = frozenset({"enum", "const", "$ref", "anyOf", "oneOf", "allOf"})
