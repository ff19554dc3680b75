"""Checks what ruff and mypy cannot: module sizes, words that promise later work, and draft-07 schemas without oneOf."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MOST_LINES = 400
CODE = {".py", ".c", ".h", ".sh"}
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
DRAFT = "http://json-schema.org/draft-07/schema#"


def main() -> int:
    """Print each finding as ``file:line: what`` and return 1 when there is one."""
    files = subprocess.run(("git", "ls-files"), check=True, capture_output=True, text=True).stdout.split("\n")
    found = [finding for name in files if Path(name).is_file() for finding in _check(Path(name))]
    for finding in found:
        print(finding)
    return 1 if found else 0


def _check(path: Path) -> Iterator[str]:
    if path.suffix in CODE:
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) > MOST_LINES:
            yield f"{path}:{MOST_LINES + 1}: {len(lines)} lines; a module has {MOST_LINES} at most"
        for number, line in enumerate(lines, 1):
            if UNFINISHED.search(line):
                yield f"{path}:{number}: unfinished: {line.strip()}"
    elif path.parts[0] == "schemas" and path.suffix == ".json":
        yield from _check_schema(path)


def _check_schema(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    if json.loads(text).get("$schema") != DRAFT:
        yield f"{path}:1: $schema is not {DRAFT}"
    for number, line in enumerate(text.splitlines(), 1):
        if '"oneOf"' in line:
            yield f"{path}:{number}: oneOf gives unreadable errors; use if/then or anyOf by a type field"


if __name__ == "__main__":
    sys.exit(main())
