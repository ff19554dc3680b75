"""Checks a YAML tree against its draft-07 schema and says in people's words what is wrong and where."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping as MappingABC
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

from vosctl import resources
from vosctl.errors import VosctlError
from vosctl.site.check.schema_quick import surely_fits
from vosctl.site.check.schema_words import problem_of
from vosctl.site.problems import Problems
from vosctl.site.tree import Value, plain

if TYPE_CHECKING:
    from jsonschema import Draft7Validator

_DEFINITION = re.compile(r"^(?P<document>[a-z]+\.json)?(?:#/definitions/(?P<name>[a-z_]+))?$")
_LEFT_TO_THE_BUILDER = ("pattern", "patternErrorMessage", "minimum", "maximum")


class Kind(Enum):
    """The kinds of file; each has a schema of that name."""

    VARS = "vars"
    HOSTS = "hosts"
    PLAYBOOK = "playbook"


def check_schema(value: Value, kind: Kind, problems: Problems, *, prefix: str = "") -> None:
    """Add every difference between ``value`` and the schema of ``kind`` to ``problems``.

    ``prefix`` is put before the paths of the findings (``plays[0].vars``). Nothing is required of
    a layer but what every layer must have; the merged result is looked at where objects are built.
    """
    written = plain(value)
    if surely_fits(written, document(kind), kind.value + ".json", _follow):
        return
    for error in validator(kind).iter_errors(written):
        problems.found.extend(problem_of(error, value, prefix=prefix, fields=vendor_fields()))


@cache
def validator(kind: Kind) -> Draft7Validator:
    """Return the compiled validator of ``kind``, references resolved beforehand for speed."""
    from jsonschema import Draft7Validator  # noqa: PLC0415  50 ms, for files with something wrong

    return Draft7Validator(_compiled(document(kind), kind.value + ".json"))


@cache
def document(kind: Kind) -> MappingABC[str, Any]:
    """Return the schema of ``kind`` as it stands in its file."""
    path = resources.schemas() / f"{kind.value}.json"
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


@cache
def vendor_fields() -> MappingABC[str, str]:
    """Return the field that stands for each vendor parameter: ``SS_QOS_RTP`` → ``qos.media``."""
    found: dict[str, str] = {}
    _collect_parameters(document(Kind.VARS), document(Kind.VARS), "", found)
    return found


def _collect_parameters(schema: Any, root: MappingABC[str, Any], path: str, found: dict[str, str]) -> None:
    if not isinstance(schema, dict):
        return
    if "$ref" in schema:
        schema = root["definitions"][schema["$ref"].rpartition("/")[2]]
    for parameter in re.findall(r"\b(?:SS|SERVER)_[A-Z_]+[A-Z]\b", schema.get("description", "")):
        found.setdefault(parameter, path)
    for key, below in schema.get("properties", {}).items():
        _collect_parameters(below, root, f"{path}.{key}" if path else key, found)
    below = schema.get("additionalProperties")
    if isinstance(below, dict):
        _collect_parameters(below, root, f"{path}.NAME", found)


def _compiled(node: Any, home: str) -> Any:
    """Return ``node`` with references replaced by their targets, except those to a recursive definition."""
    if isinstance(node, list):
        return [_compiled(item, home) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _resolved(node["$ref"], home)
    kept = {key: value for key, value in node.items() if not _is_for_editors(key, node)}
    if "definitions" in kept:
        kept["definitions"] = {
            name: body for name, body in kept["definitions"].items() if _is_recursive(name, body)
        }
    return {key: _compiled(value, home) for key, value in kept.items()}


@cache
def _follow(reference: str, home: str) -> tuple[MappingABC[str, Any], str]:
    """Return what a reference in the document ``home`` leads to, and the document that it stands in."""
    home, name = _place(reference, home)
    target = document(Kind(home.removesuffix(".json")))
    return (target if name is None else target["definitions"][name]), home


def _place(reference: str, home: str) -> tuple[str, str | None]:
    match = _DEFINITION.match(reference)
    if match is None:
        raise VosctlError(f"the schema {home} refers to {reference!r}, which vosctl cannot follow")
    return match["document"] or home, match["name"]


def _resolved(reference: str, home: str) -> Any:
    home, name = _place(reference, home)
    target: Any = document(Kind(home.removesuffix(".json")))
    if name is None:
        return _compiled({key: value for key, value in target.items() if key != "$id"}, home)
    body = target["definitions"][name]
    return {"$ref": reference} if _is_recursive(name, body) else _compiled(body, home)


def _is_recursive(name: str, body: Any) -> bool:
    return f'"#/definitions/{name}"' in json.dumps(body)


def _is_for_editors(key: str, node: MappingABC[str, Any]) -> bool:
    """Whether a keyword only helps editors: the builder checks the same thing with better words."""
    return bool(node.get("x-vosctl-check")) and key in _LEFT_TO_THE_BUILDER
