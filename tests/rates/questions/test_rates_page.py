"""What docs/rates.md and README.md show is what the example site answers, on a terminal of 80 columns."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from vosctl.cli import screen
from vosctl.cli.main import run

ROOT = Path(__file__).parents[3]
PAGE = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in ("docs/rates.md", "README.md"))
MORE = "…"


def shown():
    """Yield each command of the page, with the lines below it."""
    for block in re.findall(r"^```\n(\$ vosctl rates .*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = part.rstrip().split("\n")
            if " -o " not in command:
                yield pytest.param(command, lines, id=command)


@pytest.mark.parametrize(("command", "lines"), list(shown()))
def test_the_page_shows_what_the_example_answers(command, lines, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(screen, "PIPE_WIDTH", 80)
    assert run(shlex.split(command)[1:]) == 0
    found = [line.rstrip() for line in capsys.readouterr().out.rstrip().split("\n")]
    for number, line in enumerate(lines):
        if line.strip() == MORE:
            rest = lines[number + 1 :]
            at = found.index(rest[0]) if rest else len(found)
            assert found[at : at + len(rest)] == rest
            return
        assert found[number] == line
    assert len(found) == len(lines)


def test_the_page_shows_every_question():
    assert len(list(shown())) >= 7
