"""``vosctl drain``: whom it takes and what it refuses; what it does is tested on a bare Debian."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vosctl.cli.main import run
from vosctl.demo.stage import copy_site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = copy_site(tmp_path / "site")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "name the nodes to drain"),
        (("edge-a", "--undo", "--wait"), "--undo has nothing to wait for"),
        (("edge-a", "--undo", "--for", "5"), "--undo has nothing to wait for"),
        (("edge-a", "--for", "soon"), "'soon' is no length of time"),
    ],
)
def test_what_is_wrong_is_refused_before_any_node_is_asked(site, capsys, words, told):
    assert run(["drain", *words]) == 64
    assert told in capsys.readouterr().err


def test_a_node_that_is_not_reached(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory/hosts.yml").write_text(
        "all: {vars: {firewall: {admin: [127.0.0.1], management: {ssh: [9]}}}, hosts: {edge-a: {host: 127.0.0.2, port: 9, user: root}}}\n"
    )
    code = run(["drain", "edge-a", "--json", "--connect-timeout", "2"])
    said = capsys.readouterr().out
    assert (code, json.loads(said)["edge-a"]["status"]) == (4, "unreachable")
