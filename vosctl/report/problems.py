"""Problems as people read them: place, path, what is wrong, the source line with a caret, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vosctl.site.problems import Problem, Severity
from vosctl.site.secrets import is_secret_path

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_SECRET = re.compile(
    r"(?i)\b(?:value|password|passphrase|secret)[\"']?\s*:\s*(?P<secret>[^\s{\[#&].*?)\s*[,}]*\s*$"
)
_NO_LINES = frozenset({".xlsx", ".xlsm", ".parquet", ".pq"})
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow"}


def print_problems(console: Console, problems: Iterable[Problem]) -> None:
    """Write each problem with its source line, a caret below the column, and what to do.

    What stands behind ``value:``, ``password:`` and the like is masked in line and message.
    """
    sources = _Sources()
    for problem in problems:
        line = sources.line(problem.mark.file, problem.mark.line) or ""
        secret = _secret_in(line)
        console.print(_headline(problem, secret), soft_wrap=True)
        if line and (secret or not is_secret_path(problem.path)):
            _print_source(console, problem, line.replace(secret, "<secret>") if secret else line)
        if problem.hint:
            console.print(_text(f"    hint: {problem.hint}", style="cyan"), soft_wrap=True)


def summarize(errors: Sequence[Problem], warnings: Sequence[Problem]) -> str:
    """Return ``2 errors, 1 warning`` or ``no errors``."""
    parts = [_count(len(errors), "error") if errors else "no errors"]
    if warnings:
        parts.append(_count(len(warnings), "warning"))
    return ", ".join(parts)


def as_json(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Return the problems as JSON-ready objects."""
    return [
        {
            "file": p.mark.file,
            "line": p.mark.line,
            "column": p.mark.column,
            "path": p.path,
            "message": p.message,
            "rule": p.rule,
            "hint": p.hint,
            "severity": p.severity.value,
        }
        for p in problems
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _secret_in(line: str) -> str:
    """Return the part of a source line that may be a secret, without quotes, or nothing."""
    found = _SECRET.search(line)
    return found["secret"].strip().strip("\"'") if found else ""


def _text(words: str, *, style: str) -> Text:
    from rich.text import Text  # noqa: PLC0415  10 ms, for those who are told of a problem

    return Text(words, style=style)


def _headline(problem: Problem, secret: str) -> Text:
    text = _text(f"{problem.mark}", style="bold")
    if problem.path:
        text.append(f" {problem.path}", style="not bold")
    text.append(": ", style="not bold")
    text.append(f"{problem.severity.value}: ", style=_STYLES[problem.severity])
    message = problem.message.replace(secret, "<secret>") if secret else problem.message
    text.append(message, style="not bold")
    text.append(f" [{problem.rule}]", style="dim not bold")
    return text


def _print_source(console: Console, problem: Problem, line: str) -> None:
    number = f"{problem.mark.line:>5} | "
    start = max(problem.mark.column - 1, 0)
    lead = "".join("\t" if char == "\t" else " " for char in line[:start])
    console.print(_text(number + line, style="dim"), soft_wrap=True)
    console.print(
        _text(f"{' ' * (len(number) - 2)}| {lead}^", style=_STYLES[problem.severity]), soft_wrap=True
    )


class _Sources:
    """Reads each source file once; a file that cannot be read has no lines."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}

    def line(self, file: str, number: int) -> str | None:
        if file not in self._lines:
            if Path(file).suffix.lower() in _NO_LINES:
                self._lines[file] = []
                return None
            try:
                self._lines[file] = Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
            except OSError:
                self._lines[file] = []
        lines = self._lines[file]
        return lines[number - 1] if 0 < number <= len(lines) else None
