"""Sites in positive/ have nothing wrong with them; those in negative/ have exactly what expected.txt says.

A case is a folder with an inventory (hosts.yml, group_vars, host_vars) and, if it needs them, playbooks/site.yml and
playbooks/options.json. Write expected.txt anew, for reading and committing, with: VOSCTL_REWRITE=1 pytest tests/site.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from vosctl.site.problems import Problem, Problems
from vosctl.site.read import SiteOptions, read_site

HERE = Path(__file__).parent
REWRITE = os.environ.get("VOSCTL_REWRITE") == "1"
SECRETS = re.compile(r"(?:value|password): *[\"']?(?P<secret>[^\"'}\n#]{4,})")


def cases(kind: str) -> list[Path]:
    found = sorted(path.parent for path in (HERE / kind).glob("*/hosts.yml"))
    assert found, f"no cases in {kind}/"
    return found


def read(case: Path, monkeypatch: pytest.MonkeyPatch) -> Problems:
    monkeypatch.chdir(case)
    file = Path("playbooks/options.json")
    given = json.loads(file.read_text()) if file.exists() else {}
    options = SiteOptions(
        playbook=Path("playbooks/site.yml") if Path("playbooks/site.yml").exists() else None,
        inventory=(Path(),),
        limit=given.get("limit"),
        extra_vars=tuple(given.get("extra_vars", ())),
    )
    return read_site(options)[1]


def text_of(problem: Problem) -> str:
    hint = f"\n    {problem.hint}" if problem.hint else ""
    return f"{problem.severity.value} {problem}{hint}\n"


@pytest.mark.parametrize("case", cases("negative"), ids=lambda path: path.name)
def test_negative(case: Path, monkeypatch: pytest.MonkeyPatch):
    problems = read(case, monkeypatch)
    found = "".join(text_of(problem) for problem in (*problems.errors, *problems.warnings))
    expected = case / "expected.txt"
    if REWRITE:
        expected.write_text(found, encoding="utf-8")
    assert found == expected.read_text(encoding="utf-8")
    assert found, "a negative case has at least one problem"


@pytest.mark.parametrize("case", cases("negative"), ids=lambda path: path.name)
def test_no_problem_shows_a_secret(case: Path, monkeypatch: pytest.MonkeyPatch):
    problems = read(case, monkeypatch)
    files = [path for path in case.rglob("*.yml") if path.is_file()]
    secrets = {
        m["secret"].strip() for path in files for m in SECRETS.finditer(path.read_text(errors="replace"))
    }
    for problem in problems.found:
        shown = f"{problem.message} {problem.hint}"
        assert not [secret for secret in secrets if secret in shown]


@pytest.mark.parametrize("case", cases("positive"), ids=lambda path: path.name)
def test_positive(case: Path, monkeypatch: pytest.MonkeyPatch):
    problems = read(case, monkeypatch)
    assert [text_of(problem) for problem in problems.found] == []


def test_every_rule_of_the_checks_has_a_case():
    """A rule that no negative case provokes could be dead or wrong."""
    sources = [
        *(HERE.parents[1] / "vosctl/site/check").glob("*.py"),
        *(HERE.parents[1] / "vosctl/site/objects").glob("*.py"),
    ]
    pattern = re.compile(
        r"(?:error|warn|WrongValueError|_warn)\(\s*(?:node, |findings, )?\"([a-z-]+)\"|rule, message(?:, hint)? = \"([a-z-]+)\""
    )
    rules = {
        rule for source in sources for pair in pattern.findall(source.read_text()) for rule in pair if rule
    }
    provoked = "".join(path.read_text() for path in (HERE / "negative").glob("*/expected.txt"))
    assert len(rules) > 40
    assert sorted(rule for rule in rules if f"[{rule}]" not in provoked) == []
