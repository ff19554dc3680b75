"""What is taken for right without jsonschema is right for jsonschema, and right files need no jsonschema."""

from __future__ import annotations

import copy
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from vosctl.site.check import schema
from vosctl.site.check.schema import Kind, document, validator
from vosctl.site.check.schema_quick import surely_fits
from vosctl.site.problems import Problems
from vosctl.site.text.loader import load_text
from vosctl.site.tree import plain
from vosctl.site.variables.layers import DEFAULTS

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests/site/positive"
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1.0, 2.5, 10**9, float("nan"), "", "x", "A b\n", "10.0.0.0/8", [], [1, True], [1, 1.0],
    ["a", "a"], [[], []], {}, {"a": 1}, {"x y": None}, [None],
)  # fmt: skip


def fits(value: Any, kind: Kind) -> bool:
    return surely_fits(value, document(kind), f"{kind.value}.json", schema._follow)


def written() -> list[Any]:
    paths = [DEFAULTS, *sorted(ROOT.glob("inventory/**/*.yml")), *sorted(EXAMPLE.rglob("*.yml"))]
    found = [load_text(path.read_text(encoding="utf-8"), str(path), Problems()) for path in paths]
    return [plain(tree) for tree in found if tree is not None]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return each container below ``value`` with each of its keys."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [pair for key in keys for pair in ((value, key), *places(value[key]))]


@pytest.mark.parametrize("kind", Kind)
def test_it_never_takes_what_jsonschema_refuses(kind):
    drawn = random.Random(7)
    documents = [value for value in written() if places(value)]
    judge, taken, refused = validator(kind), 0, 0
    for _ in range(1500):
        value = copy.deepcopy(drawn.choice(documents))
        container, key = drawn.choice(places(value))
        if isinstance(container, dict) and drawn.random() < 0.2:
            container[drawn.choice(("", "another", "ansible_x"))] = container.pop(key)
        else:
            container[key] = drawn.choice(ODD)
        if fits(value, kind):
            assert not list(judge.iter_errors(value)), value
            taken += 1
        else:
            refused += 1
    assert refused > 100
    assert kind is not Kind.VARS or taken > 100


@pytest.mark.parametrize(("name", "wanted"), [
    ("type", "string"), ("type", "integer"), ("type", "number"), ("type", ["array", "null"]), ("enum", [1, "x", None]),
    ("minimum", 1), ("maximum", 1), ("minLength", 1), ("maxLength", 1), ("minItems", 1), ("maxItems", 1),
    ("pattern", "^x$"), ("uniqueItems", True), ("items", {"type": "string"}), ("properties", {"a": {"type": "string"}}),
    ("additionalProperties", False), ("additionalProperties", {"type": "null"}), ("propertyNames", {"pattern": "^a$"}),
    ("required", ["a"]), ("not", {}), ("const", 1), ("$ref", "#/definitions/x"),
])  # fmt: skip
def test_each_keyword_against_each_odd_value(name, wanted):
    subject = {name: wanted, "definitions": {"x": {"type": "string"}}}
    judge = Draft7Validator(subject)
    for value in ODD:
        if surely_fits(value, subject, "", lambda *_: ({"type": "string"}, "")):
            assert judge.is_valid(value), value


def test_files_that_are_right_do_not_wait_for_jsonschema():
    program = (
        "import sys; from vosctl.cli.main import run; code = run(sys.argv[1:]); "
        "late = {'jsonschema', 'paramiko', 'asyncssh', 'importlib.metadata'} & set(sys.modules); "
        "assert not late, late; sys.exit(code)"
    )
    words = (sys.executable, "-c", program, "validate", "playbooks/site.yml")
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
