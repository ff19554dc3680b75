"""A git repository that holds the example site, and ``vosctl diff`` of what a test edits in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from review_samples import git

from vosctl.cli.main import run

EXAMPLE = Path(__file__).parents[2]


@pytest.fixture
def site(tmp_path, monkeypatch):
    """The example site in the repository's folder ``voice``, committed."""
    for folder in ("inventory", "playbooks"):
        shutil.copytree(EXAMPLE / folder, tmp_path / "voice" / folder)
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet", "--initial-branch=main")
    git("add", "--all")
    git("commit", "--quiet", "--message=before")
    monkeypatch.chdir(tmp_path / "voice")
    return tmp_path / "voice"


@pytest.fixture
def reviewed(site, capsys):
    """Return a function: the review of the working tree against HEAD as its JSON."""

    def made(*words: str) -> dict:
        code = run(["diff", "HEAD", "playbooks/site.yml", "--json", *words])
        shown = capsys.readouterr()
        assert code == 0, shown.out + shown.err
        return json.loads(shown.out)

    return made
