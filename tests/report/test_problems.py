"""Problems on a screen: place, reason, source line, caret and hint; secrets masked."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from vosctl.report.problems import as_json, print_problems, summarize
from vosctl.site.problems import Problem, Severity
from vosctl.site.tree import Mark


def shown(*problems: Problem) -> str:
    console = Console(file=io.StringIO(), width=200, highlight=False, markup=False, emoji=False)
    print_problems(console, problems)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_source_line_and_caret(tmp_path: Path) -> None:
    file = tmp_path / "vars.yml"
    file.write_text("media:\n  jitter: wann\n")
    text = shown(
        Problem("unknown-profile", "no profile 'wann'", Mark(str(file), 2, 11), "media.jitter", "try wan")
    )
    assert text.splitlines() == [
        f"{file}:2:11 media.jitter: error: no profile 'wann' [unknown-profile]",
        "    2 |   jitter: wann",
        "      |           ^",
        "    hint: try wan",
    ]


def test_caret_follows_tabs(tmp_path: Path) -> None:
    file = tmp_path / "vars.yml"
    file.write_text("a:\n\tb: 1\n")
    text = shown(Problem("yaml-syntax", "a tab indents", Mark(str(file), 2, 2)))
    source, caret = text.splitlines()[1:3]
    assert caret.index("^") == source.index("b")


@pytest.mark.parametrize(
    "line",
    [
        '    value: "ABCDEFGHabcdefgh1"',
        "    value: ABCDEFGHabcdefgh1",
        "  ab: {value: ABCDEFGHabcdefgh1}",
        "    password: 'ABCDEFGHabcdefgh1'  ",
    ],
)
def test_secrets_are_masked_in_line_and_message(tmp_path: Path, line: str) -> None:
    file = tmp_path / "vars.yml"
    file.write_text(line + "\n")
    text = shown(Problem("key-length", "'ABCDEFGHabcdefgh1' has 17 characters", Mark(str(file), 1, 5)))
    assert "ABCDEFGH" not in text
    assert text.count("<secret>") == 2


def test_a_file_that_is_gone_shows_no_line() -> None:
    assert shown(Problem("x", "missing", Mark("/nonexistent/file.yml", 1, 1))).count("\n") == 1


def test_summary_and_json() -> None:
    error = Problem("a", "m", Mark("f", 1, 2), "p", "h")
    warning = Problem("b", "m", Mark("f", 1, 2), severity=Severity.WARNING)
    assert summarize((error, error), (warning,)) == "2 errors, 1 warning"
    assert summarize((), ()) == "no errors"
    assert as_json([error]) == [
        {
            "file": "f",
            "line": 1,
            "column": 2,
            "path": "p",
            "message": "m",
            "rule": "a",
            "hint": "h",
            "severity": "error",
        }
    ]


def test_a_secret_on_a_line_of_its_own_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "vars.yml"
    file.write_text("keys:\n  ab:\n    value:\n      ABCDEFGHabcdefgh1\n")
    assert "ABCDEFGH" not in shown(Problem("key-length", "has 17", Mark(str(file), 4, 7), "keys.ab.value"))
