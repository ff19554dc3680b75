"""What the tests of site share: files from a dict, a tree from text, rules of problems."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from vosctl.site.problems import Problems
from vosctl.site.text.loader import load_text
from vosctl.site.tree import Mapping, Value


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(content), encoding="utf-8")
    return folder


def tree(text: str) -> Value:
    problems = Problems()
    value = load_text(dedent(text), "t.yml", problems)
    assert not problems.found, [str(problem) for problem in problems.found]
    assert value is not None
    return value


def mapping(text: str) -> Mapping:
    value = tree(text)
    assert isinstance(value, Mapping)
    return value


def places(problems: Problems) -> list[tuple[str, str]]:
    """Every finding as (rule, file:line:column), sorted as a run reports them."""
    return [(problem.rule, str(problem.mark)) for problem in (*problems.errors, *problems.warnings)]
