"""Tests that a site carries for its own firewall: run by validate and before anything is applied."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from vosctl.cli.main import run

EXAMPLE = Path(__file__).parents[2]
MAIN = "inventory/group_vars/all/main.yml"


@pytest.fixture
def site(tmp_path, monkeypatch):
    for folder in ("inventory", "playbooks"):
        shutil.copytree(EXAMPLE / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def line_of(path: Path, words: str) -> int:
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if words in line)


def test_a_failing_test_names_its_line_what_was_met_and_the_rule_with_its_line(site, capsys):
    edit(
        site / MAIN,
        "nobody else reaches SSH: {src: 10.231.0.10",
        "nobody else reaches SSH: {src: 10.231.255.10",
    )
    assert run(["validate"]) == 1
    shown = capsys.readouterr().err
    number = line_of(site / MAIN, "nobody else reaches SSH")
    assert f"{MAIN}:{number}:" in shown
    assert "firewall.tests.nobody else reaches SSH: error: expected drop, but it is accept" in shown
    assert "TCP 10.231.255.10 -> 10.231.0.2:22, new" in shown
    ssh = line_of(site / MAIN, "ssh: [22]")
    assert f"from firewall.admin ({MAIN}:{ssh})" in shown
    assert "1 error" not in shown.replace("2 errors", "")  # one on each node: their own addresses differ
    assert "Traceback" not in shown


def test_plan_and_compile_stop_too(site, capsys):
    edit(site / MAIN, "pings pass: {src: 203.0.113.99, proto: icmp, expect: accept}",
         "pings pass: {src: 203.0.113.99, proto: icmp, expect: drop}")  # fmt: skip
    assert run(["plan"]) == 1
    assert run(["compile"]) == 1
    assert capsys.readouterr().err.count("expected drop, but it is accept") == 4


def test_a_change_of_the_policy_fails_the_tests_that_it_breaks(site, capsys):
    edit(site / "inventory/host_vars/edge-a.yml", "port: 5062", "port: 5070")
    assert run(["validate", "--json"]) == 1
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert {problem["rule"] for problem in problems} == {"firewall-test"}
    assert {problem["path"] for problem in problems} == {"firewall.tests.bluefin calls from its port"}


def test_a_host_may_take_a_test_away(site):
    edit(site / MAIN, "pings pass: {src: 203.0.113.99, proto: icmp, expect: accept}",
         "pings pass: {src: 203.0.113.99, proto: icmp, expect: drop}")  # fmt: skip
    for name in ("edge-a", "edge-b"):
        path = site / f"inventory/host_vars/{name}.yml"
        text = path.read_text()
        if "\nfirewall:\n" not in text:
            text += "\nfirewall:\n  tests:\n"
        path.write_text(text.replace("  tests:\n", "  tests:\n    pings pass: null\n"))
    assert run(["validate"]) == 0


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ("{dport: 5060, expect: drop}", "the test does not say src"),
        ("{src: 192.0.2.1, dport: 5060}", "the test does not say expect"),
        ("{src: 192.0.2.1, expect: drop}", "the test does not say dport"),
        ('{src: 192.0.2.1, dst: "2001:db8::1", dport: 5060, expect: drop}', "is not of the family"),
        ("{src: 192.0.2.1, dport: 5060, rate: often, expect: drop}", "'often' is no rate"),
        ("{src: 192.0.2.1, dport: 5060, payload: 'hex:0', expect: drop}", "no bytes in hexadecimal"),
        ("{src: 192.0.2.1, dport: 5060, expect: dorp}", "drop"),
        ("{src: 192.0.2.1, dport: 5060, ports: 1, expect: drop}", "ports"),
        ('{src: "2001:db8::1", dport: 5060, expect: drop}', "has no IPv6 address in the site"),
    ],
)
def test_mistakes_in_tests_are_told_with_their_place(site, capsys, test, said):
    edit(site / MAIN, "    pings pass:", f"    odd one: {test}\n    pings pass:")
    assert run(["validate"]) == 1
    shown = capsys.readouterr().err
    assert said in shown
    assert f"{MAIN}:{line_of(site / MAIN, 'odd one')}:" in shown


def test_a_management_port_that_sip_takes_is_a_warning_with_both_lines(site, capsys):
    edit(site / MAIN, "metrics: [9110]", "metrics: [9110]\n    console: [5061]")
    assert run(["validate"]) == 0
    shown = capsys.readouterr().err
    assert "firewall.management.console: warning: no packet reaches the rule 'from firewall.admin'" in shown
    assert f"{MAIN}:{line_of(site / MAIN, 'console')}:" in shown
    assert "firewall.sip.tcp" in shown
    assert "[firewall-shadowed]" in shown
