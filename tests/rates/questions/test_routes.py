"""The ways of a call, from the site and from the file that the site compiles to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vosctl.cli.main import run
from vosctl.compile.site import compile_site
from vosctl.site.read import SiteOptions, read_site

ROOT = Path(__file__).parents[3]
PLAYBOOK = ROOT / "playbooks/site.yml"


@pytest.fixture
def ask(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def asked(*words):
        code = run(["rates", "routes", *words, str(PLAYBOOK), "--json"])
        return code, json.loads(capsys.readouterr().out)["routes"]

    return asked


def test_vendors_in_order_with_what_is_locked_and_why(ask):
    code, (found,) = ask("+44 20 7123 4567", "--from", "wholesale", "--limit", "edge-a")
    assert (code, found["prefix"], found["rate"]) == (0, "4420", "0.0125")
    first, *rest = found["vendors"]
    assert (first["vendor"], first["locked"]) == ("polar", "")
    quartz = next(each for each in rest if each["vendor"] == "quartz")
    assert quartz["locked"] == "profit is -0.000005 a second, the lowest allowed is 0.00002"
    assert quartz["profit"].startswith("-")


def test_what_is_compiled_says_what_the_site_says(ask, tmp_path):
    site, _ = read_site(SiteOptions(playbook=PLAYBOOK))
    desired = compile_site(site, release=None)["edge-a"]
    file = tmp_path / "routes.bin"
    file.write_bytes(next(each.content for each in desired.files if each.path.endswith("routes.bin")))
    for number in ("442071234567", "4915123", "33612345678"):
        _, asked = ask(number, "--limit", "edge-a")
        code, compiled = ask(number, "--file", str(file))
        assert {each["group"]: told(each) for each in compiled} == {
            each["group"]: told(each) for each in asked
        }
    assert code in {0, 1}


def told(way):
    vendors = [(each["vendor"], each["via"], each["cost"] and float(each["cost"]), bool(each["locked"]), each["tied"])
               for each in way["vendors"]]  # fmt: skip
    return way["prefix"] and way["rate"] and float(way["rate"]), vendors


def test_an_unknown_group_and_a_number_that_nobody_sells(ask, capsys):
    code, found = ask("9991234", "--from", "wholesale", "--limit", "edge-a")
    assert code == 1
    assert found[0]["rate"] is None
    assert run(["rates", "routes", "44", "--from", "wholesail", str(PLAYBOOK)]) == 64
    assert "did you mean 'wholesale'" in capsys.readouterr().err


def test_a_file_that_is_none(tmp_path, capsys):
    wrong = tmp_path / "x.bin"
    wrong.write_bytes(b"nothing of the kind")
    assert run(["rates", "routes", "44", "--file", str(wrong), str(PLAYBOOK)]) == 1
    assert "no route file" in capsys.readouterr().err


def test_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert run(["rates", "routes", "442071234567", str(PLAYBOOK)]) == 0
    shown = capsys.readouterr().out
    assert "prefix 4420, the customer pays 0.0125 EUR a minute" in shown
    assert "locked: profit is -0.000005 a second" in shown
