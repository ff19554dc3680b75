"""What tests of reviews share: git, edits of a site's files, and the findings of a review's JSON."""

from __future__ import annotations

import subprocess
from pathlib import Path


def git(*words: str) -> str:
    """Run git in the current folder and return what it prints."""
    names = ("-c", "user.name=Test", "-c", "user.email=test@example.net", "-c", "commit.gpgsign=false")
    return subprocess.run(("git", *names, *words), check=True, capture_output=True, text=True).stdout


def edit(path: str, *pairs: tuple[str, str]) -> None:
    """Replace the first occurrence of each text in a file; it must be there."""
    text = Path(path).read_text()
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new, 1)
    Path(path).write_text(text)


def findings(told: dict, node: str, *areas: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return subject, text and risks of a node's findings in these areas."""
    return [
        (each["subject"], each["text"], tuple(each["risks"]))
        for each in told["nodes"][node]["findings"]
        if each["area"] in areas
    ]
