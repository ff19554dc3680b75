"""Turns a schema validator's errors into problems with a mark, a path, plain words and a hint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Mapping as MappingABC
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from vosctl.site.places import Step, joined
from vosctl.site.problems import Problem
from vosctl.site.suggest import closest, did_you_mean, listed
from vosctl.site.tree import Mapping, Mark, Scalar, Value, at

if TYPE_CHECKING:
    from jsonschema import ValidationError

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}
_SHOWN = 40


class _Fault(Struct, frozen=True):
    """What a validator found: the keyword, what it wants, the schema around it and the plain value."""

    keyword: str
    wanted: Any
    schema: MappingABC[str, Any]
    instance: Any
    secret: bool

    @classmethod
    def of(cls, error: ValidationError, *, sealed: bool) -> _Fault:
        schema = error.schema if isinstance(error.schema, MappingABC) else {}
        secret = sealed or bool(schema.get("x-secret"))
        return cls(str(error.validator), error.validator_value, schema, error.instance, secret)


def problem_of(
    error: ValidationError, root: Value, *, prefix: str, fields: MappingABC[str, str]
) -> Iterator[Problem]:
    """Yield what ``error`` says about ``root`` as problems; unknown keys are one problem each.

    ``fields`` maps vendor parameters to the field that stands for them.
    """
    path = tuple(error.absolute_path)
    value = at(root, path)
    if value is None:  # cannot happen while plain() mirrors the tree
        value, path = root, ()
    fault = _Fault.of(error, sealed=isinstance(value, Scalar) and value.sealed)
    if fault.keyword == "additionalProperties":
        yield from _unknown_keys(fault, value, path, prefix, fields)
    elif _is_about_a_name(error):
        yield _bad_name(fault, value, path, prefix)
    else:
        rule, message, hint = _WORDS.get(fault.keyword, _other)(fault, value)
        yield Problem(rule, message, value.mark, joined(path, prefix), hint)


def shown(value: Value, *, secret: bool = False) -> str:
    """Return a value as a message may quote it: never a secret, never more than a few words."""
    if isinstance(value, Mapping):
        return "a mapping"
    if not isinstance(value, Scalar):
        return "a list"
    if value.value is None:
        return "nothing"
    if secret or value.sealed:
        return "text" if value.quoted else "an unquoted value"
    text = value.text if len(value.text) <= _SHOWN else value.text[:_SHOWN] + "…"
    return (
        f"the text '{text}'" if value.quoted or (isinstance(value.value, str) and not value.number) else text
    )


def _unknown_keys(
    fault: _Fault, value: Value, path: tuple[Step, ...], prefix: str, fields: MappingABC[str, str]
) -> Iterator[Problem]:
    known = fault.schema.get("properties", {})
    if not isinstance(value, Mapping):
        return
    for key in value.items:
        if key in known:
            continue
        mark = value.key_marks.get(key, value.mark)
        named = [name for name in known if name.startswith("ansible_") == key.startswith("ansible_")]
        message = f"unknown key '{key}'{did_you_mean(key, named)}"
        hint = _hint_for_key(key, known, fields)
        yield Problem("unknown-key", message, mark, joined((*path, key), prefix), hint)


def _hint_for_key(key: str, known: MappingABC[str, Any], fields: MappingABC[str, str]) -> str:
    if key in fields:
        return f"{key} is {fields[key]} here"
    inner = [name for name, schema in known.items() if key in schema.get("properties", {})]
    if inner:
        return f"it belongs under {inner[0]}: {inner[0]}.{key}"
    if key.startswith("ansible_"):
        return (
            "of Ansible's variables, those that say how to connect are known: ansible_host, ansible_port, …"
        )
    if "custom" in known:
        return "values of your own go under custom" + (
            "" if closest(key, known) else f"; known: {_trees(known)}"
        )
    return "known here: " + listed(known)


def _trees(known: MappingABC[str, Any]) -> str:
    """Return the variables that hold more than one value: those that somebody may be looking for."""
    return listed((name for name, schema in known.items() if "object" in schema.get("type", ())), most=20)


def _is_about_a_name(error: ValidationError) -> bool:
    return "propertyNames" in error.absolute_schema_path


def _bad_name(fault: _Fault, value: Value, path: tuple[Step, ...], prefix: str) -> Problem:
    name = str(fault.instance)
    mark: Mark = value.mark
    if isinstance(value, Mapping):
        mark = value.key_marks.get(name, mark)
    hint = fault.schema.get("patternErrorMessage", "")
    return Problem("wrong-name", f"the name '{name}' does not fit", mark, joined((*path, name), prefix), hint)


def _type(fault: _Fault, value: Value) -> tuple[str, str, str]:
    wanted = fault.wanted if isinstance(fault.wanted, list) else [fault.wanted]
    kinds = [_TYPES[kind] for kind in wanted if kind != "null"]
    message = f"must be {' or '.join(kinds)}, not {shown(value, secret=fault.secret)}"
    return "wrong-type", message, _hint_for_type(wanted, value, secret=fault.secret)


def _hint_for_type(wanted: list[str], value: Value, *, secret: bool) -> str:
    if not isinstance(value, Scalar):
        return "write names as keys, without '- '" if wanted[0] == "object" else ""
    if value.value is None:
        return ""
    text = "…" if secret or value.sealed else value.text
    if wanted[0] == "array":
        return f"write a list: [{text}]"
    if wanted[0] == "string" and not value.quoted:
        return f'put quotes round it: "{text}"'
    if value.quoted and (wanted[0] != "object"):
        return f"write it without quotes: {text}" if _fits(wanted[0], value.text) else ""
    return ""


def _fits(kind: str, text: str) -> bool:
    return text in {"true", "false"} if kind == "boolean" else text.isascii() and text.isdigit()


def _choice(fault: _Fault, value: Value) -> tuple[str, str, str]:
    choices = [str(choice) for choice in fault.wanted if choice is not None]
    scalar = value if isinstance(value, Scalar) and not fault.secret else None
    guess = did_you_mean(scalar.text, choices) if scalar else ""
    message = f"must be one of {', '.join(choices)}, not {shown(value, secret=fault.secret)}{guess}"
    hint = ""
    if scalar and scalar.text in choices:
        hint = (
            f"write it without quotes: {scalar.text}"
            if scalar.quoted
            else f'put quotes round it: "{scalar.text}"'
        )
    return "not-one-of", message, hint


def _range(fault: _Fault, value: Value) -> tuple[str, str, str]:
    low, high = fault.schema.get("minimum"), fault.schema.get("maximum")
    limits = f"from {low} to {high}" if None not in (low, high) else f"at least {low}"
    return "out-of-range", f"must be {limits}, not {shown(value, secret=fault.secret)}", ""


def _pattern(fault: _Fault, value: Value) -> tuple[str, str, str]:
    meant = fault.schema.get("patternErrorMessage", f"it must match {fault.wanted}")
    return "wrong-form", f"{shown(value, secret=fault.secret)} has the wrong form", str(meant)


def _size(fault: _Fault, value: Value) -> tuple[str, str, str]:
    low, high = fault.schema.get("minItems"), fault.schema.get("maxItems")
    if low == high:
        return "wrong-count", f"must have exactly {low} entries", ""
    wanted = f"at least {low}" if fault.keyword == "minItems" else f"at most {high}"
    hint = "leave the key out, or write null to remove an earlier layer's list" if low else ""
    del value
    return "wrong-count", f"must have {wanted} {'entry' if wanted.endswith(' 1') else 'entries'}", hint


def _unique(fault: _Fault, value: Value) -> tuple[str, str, str]:
    seen: list[Any] = []
    twice = [item for item in fault.instance if item in seen or seen.append(item)]  # type: ignore[func-returns-value]
    del value
    return "repeated", f"names {listed({str(item) for item in twice})} more than once", ""


def _empty(fault: _Fault, value: Value) -> tuple[str, str, str]:
    del fault, value
    return "empty", "must not be empty", ""


def _long(fault: _Fault, value: Value) -> tuple[str, str, str]:
    del value
    return "too-long", f"has {len(fault.instance)} characters, {fault.wanted} are the most", ""


def _required(fault: _Fault, value: Value) -> tuple[str, str, str]:
    del value
    missing = [key for key in fault.wanted if key not in fault.instance]
    return "missing-key", f"lacks {listed(missing)}", ""


def _other(fault: _Fault, value: Value) -> tuple[str, str, str]:
    del value
    return "schema", f"breaks the rule '{fault.keyword}' of the schema", ""


_WORDS: MappingABC[str, Callable[[_Fault, Value], tuple[str, str, str]]] = {
    "type": _type,
    "enum": _choice,
    "minimum": _range,
    "maximum": _range,
    "pattern": _pattern,
    "minItems": _size,
    "maxItems": _size,
    "uniqueItems": _unique,
    "minLength": _empty,
    "maxLength": _long,
    "required": _required,
}
