"""Says of a value that it surely fits its draft-07 schema; what it is not sure of is jsonschema's to judge.

Nearly all files are right, and importing jsonschema takes as long as reading a site. True here is a promise; False
only means that somebody with better words has to look.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

Schema = Mapping[str, Any]
# Gives the schema that a reference leads to, and a document that references in there start from.
Follow = Callable[[str, str], "tuple[Schema, str]"]
_Keyword = Callable[[Any, Any, Callable[[Any, Schema], bool], Schema], bool]

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def surely_fits(value: Any, schema: Schema, home: str, follow: Follow) -> bool:
    """Whether the plain ``value`` fits for certain; ``home`` names the document that ``schema`` stands in."""
    if "$ref" in schema:  # what stands beside a reference counts for nothing in draft 07 (§8.3)
        return surely_fits(value, *follow(schema["$ref"], home), follow)

    def below(part: Any, inner: Schema) -> bool:
        return surely_fits(part, inner, home, follow)

    for keyword, wanted in schema.items():
        if keyword in _SAYS_NOTHING or keyword.startswith("x-"):
            continue
        check = _KEYWORDS.get(keyword)
        if check is None or not check(value, wanted, below, schema):
            return False
    return True


def _type(value: Any, wanted: Any, *_: Any) -> bool:
    kinds = [wanted] if isinstance(wanted, str) else wanted
    return any(type(value) in _TYPES[kind] for kind in kinds)  # exactly: True is no number


def _enum(value: Any, wanted: Any, *_: Any) -> bool:
    return any(type(each) is type(value) and each == value for each in wanted)


def _bound(fits: Callable[[Any, Any], bool]) -> _Keyword:
    return lambda value, wanted, *_: type(value) not in (int, float) or fits(value, wanted)


def _size(kind: type[str | list[Any]], fits: Callable[[int, Any], bool]) -> _Keyword:
    return lambda value, wanted, *_: not isinstance(value, kind) or fits(len(value), wanted)


def _pattern(value: Any, wanted: Any, *_: Any) -> bool:
    return not isinstance(value, str) or _regex(wanted).search(value) is not None


@cache
def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _unique(value: Any, wanted: Any, *_: Any) -> bool:
    if not isinstance(value, list) or not wanted:
        return True
    return all(type(item) in (str, int) for item in value) and len(set(value)) == len(value)


def _items(value: Any, wanted: Any, below: Callable[[Any, Schema], bool], _: Schema) -> bool:
    if not isinstance(value, list):
        return True
    return isinstance(wanted, dict) and all(below(item, wanted) for item in value)


def _properties(value: Any, wanted: Any, below: Callable[[Any, Schema], bool], _: Schema) -> bool:
    if not isinstance(value, dict):
        return True
    return all(below(item, wanted[key]) for key, item in value.items() if key in wanted)


def _others(value: Any, wanted: Any, below: Callable[[Any, Schema], bool], schema: Schema) -> bool:
    if not isinstance(value, dict):
        return True
    known = schema.get("properties", {})
    others = [item for key, item in value.items() if key not in known]
    return not others or (isinstance(wanted, dict) and all(below(item, wanted) for item in others))


def _names(value: Any, wanted: Any, below: Callable[[Any, Schema], bool], _: Schema) -> bool:
    return not isinstance(value, dict) or all(below(key, wanted) for key in value)


def _required(value: Any, wanted: Any, *_: Any) -> bool:
    return not isinstance(value, dict) or all(key in value for key in wanted)


_SAYS_NOTHING = frozenset(
    ("$schema", "$id", "title", "description", "definitions", "patternErrorMessage", "default", "examples")
)
_KEYWORDS: Mapping[str, _Keyword] = {
    "type": _type,
    "enum": _enum,
    "minimum": _bound(lambda value, low: bool(value >= low)),
    "maximum": _bound(lambda value, high: bool(value <= high)),
    "minLength": _size(str, lambda length, low: bool(length >= low)),
    "maxLength": _size(str, lambda length, high: bool(length <= high)),
    "minItems": _size(list, lambda length, low: bool(length >= low)),
    "maxItems": _size(list, lambda length, high: bool(length <= high)),
    "pattern": _pattern,
    "uniqueItems": _unique,
    "items": _items,
    "properties": _properties,
    "additionalProperties": _others,
    "propertyNames": _names,
    "required": _required,
}
