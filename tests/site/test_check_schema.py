"""The schemas are draft-07, described throughout, free of what makes errors unreadable, and agree with the code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from vosctl.site.check.schema import Kind, check_schema, document, validator, vendor_fields
from vosctl.site.objects.codecs import CODECS
from vosctl.site.objects.scalars import DSCP
from vosctl.site.objects.tiers import TIERS
from vosctl.site.problems import Problems
from vosctl.site.text.loader import load_text
from vosctl.site.variables.layers import DEFAULTS

ROOT = Path(__file__).parents[2]


def subschemas(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            yield from subschemas(value, f"{path}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from subschemas(value, f"{path}/{index}")


@pytest.mark.parametrize("kind", Kind)
def test_draft_7_with_an_id_that_editors_resolve(kind: Kind):
    schema = document(kind)
    Draft7Validator.check_schema(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert schema["$id"] == f"{kind.value}.json"
    for _, sub in subschemas(schema):
        target = sub.get("$ref")
        if isinstance(target, str):
            file, _, name = target.partition("#/definitions/")
            other = json.loads((ROOT / "schemas" / (file or schema["$id"])).read_text())
            assert not name or name in other["definitions"]


@pytest.mark.parametrize("kind", Kind)
def test_no_keyword_whose_errors_nobody_can_read(kind: Kind):
    for path, sub in subschemas(document(kind)):
        if not path.endswith("/properties"):
            assert not {"oneOf", "anyOf", "allOf", "not", "if"} & sub.keys(), path


@pytest.mark.parametrize("kind", Kind)
def test_every_property_is_described(kind: Kind):
    schema = document(kind)
    for path, sub in subschemas(schema):
        if path.endswith("/properties"):
            for name, entry in sub.items():
                target = entry.get("$ref", "")
                described = (
                    entry if not target else schema.get("definitions", {}).get(target.rpartition("/")[2], {})
                )
                assert "description" in described or target == "vars.json", f"{path}/{name}"


@pytest.mark.parametrize("kind", Kind)
def test_every_pattern_says_what_is_meant(kind: Kind):
    for path, sub in subschemas(document(kind)):
        if isinstance(sub.get("pattern"), str):
            assert "patternErrorMessage" in sub or sub.get("x-vosctl-check"), path


def test_vendor_parameters_lead_to_their_fields():
    fields = vendor_fields()
    assert fields["SS_QOS_SIGNAL"] == "qos.signalling"
    assert fields["SS_QOS_RTP"] == "qos.media"
    assert fields["SS_RTPENCRYPTIONMODE"] == "trunks.NAME.encryption"
    assert fields["SS_JITTERBUFFER_DEFAULT"] == "media.jitter_buffers.NAME.start"
    assert {"SS_MEDIAPROXYMODE", "SS_MEDIAPROXYPORT_START", "SS_MEDIAPROXYPORT_END", "SS_RTP_TIMEOUT",
            "SS_RTPENCRYPTIONKEY", "SS_JITTERBUFFER_MODE", "SS_JITTERBUFFER_MIN", "SS_JITTERBUFFER_MAX",
            "SERVER_BILLING_PROFIT_CALCULATE"} <= fields.keys()  # fmt: skip


def test_schema_and_code_know_the_same_words():
    gateway = document(Kind.VARS)["definitions"]["gateway"]["properties"]
    assert set(gateway["tier"]["enum"]) == {*TIERS, None}
    assert set(document(Kind.VARS)["definitions"]["codecs"]["items"]["enum"]) == set(CODECS)
    pattern = document(Kind.VARS)["properties"]["qos"]["properties"]["media"]["pattern"]
    assert all(__import__("re").fullmatch(pattern, name) for name in DSCP)


def test_tiers_described_as_they_are():
    text = document(Kind.VARS)["definitions"]["gateway"]["properties"]["tier"]["description"]
    for name, limits in TIERS.items():
        described = text.lower().split(f"{name}: ")[1].replace(" calls/s", "").replace(" at once", "")
        minutes = int(limits.duration.total_seconds()) // 60
        assert described.startswith(f"{limits.cps}, {limits.concurrent}, {minutes} min")


def test_packaged_defaults_fit_the_schema():
    problems = Problems()
    tree = load_text(DEFAULTS.read_text(encoding="utf-8"), "defaults.yml", problems)
    assert tree is not None
    check_schema(tree, Kind.VARS, problems)
    assert problems.found == []


def test_validators_are_compiled_once():
    assert validator(Kind.VARS) is validator(Kind.VARS)


def test_null_is_taken_anywhere_in_variables_because_it_removes():
    problems = Problems()
    names = [name for name in document(Kind.VARS)["properties"] if name != "vosctl_vault"]  # no variable
    text = "".join(f"{name}: null\n" for name in names)
    tree = load_text(text, "all.yml", problems)
    assert tree is not None
    check_schema(tree, Kind.VARS, problems)
    assert problems.found == []


def test_packages_are_named_as_apt_and_dnf_do():
    schema = json.loads((ROOT / "schemas/vars.json").read_text())
    pattern = schema["properties"]["packages"]["items"]["pattern"]
    for name in ("g++", "libc6-dev", "ImageMagick", "perl-DBI", "java-1.8.0-openjdk", "compat-gcc_34"):
        assert re.search(pattern, name), name
    for name in ("-y", "nginx-", "--allow-downgrades", "nginx=1.24", "a b", "./nginx.deb", "nginx;id", ""):
        assert not re.search(pattern, name), name
