"""vosctl trace: what it says of packets to the example's nodes, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vosctl.cli.main import run

EXAMPLE = Path(__file__).parents[2]
SCAN = r"OPTIONS sip:100@10.231.0.2 SIP/2.0\r\n"


@pytest.fixture(autouse=True)
def in_the_example(monkeypatch):
    monkeypatch.chdir(EXAMPLE)


def told(capsys, *words):
    code = run(["trace", "edge-a", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "verdict", "where"),
    [
        (("--src", "198.51.100.9", "--dport", "5060", "--payload", SCAN), "drop", "all/main.yml"),
        (("--src", "2001:db8:9::1", "--dport", "5060", "--dst", "2001:db8::1", "--payload", SCAN), "drop", "all/main.yml"),
        (("--src", "10.231.0.10", "--dport", "5060", "--payload", SCAN), "accept", "edge-a.yml:5"),
        (("--src", "198.51.100.20", "--sport", "5062", "--dport", "5060"), "accept", "edge-a.yml:5"),
        (("--src", "198.51.100.20", "--sport", "5063", "--dport", "5060", "--payload", SCAN), "drop", "all/main.yml"),
        (("--src", "198.51.100.9", "--dport", "20000"), "accept", "edges.yml:6"),
        (("--src", "198.51.100.9", "--proto", "tcp", "--dport", "22"), "drop", "all/main.yml:32"),
        (("--src", "10.231.255.9", "--proto", "tcp", "--dport", "22"), "accept", "all/main.yml:32"),
        (("--src", "198.51.100.9", "--proto", "tcp", "--dport", "5060", "--connections", "11"), "drop", "defaults"),
        (("--src", "198.51.100.9", "--proto", "icmp"), "accept", "defaults"),
        (("--src", "198.51.100.9", "--proto", "icmp", "--rate", "30/s"), "drop", "defaults"),
        (("--src", "198.51.100.9", "--dport", "9", "--state", "established"), "accept", "defaults"),
        (("--src", "10.231.0.0/28", "--dport", "5060"), "accept", "edge-a.yml"),
        (("--src", "10.231.0.0/28", "--dport", "5060", "--payload", SCAN), "unknown", ""),
    ],
)  # fmt: skip
def test_verdict_and_line(capsys, words, verdict, where):
    code, found = told(capsys, *words)
    assert code == 0
    assert found["verdict"] == verdict, found
    assert where in (found["decided_by"] or {"where": ""})["where"]
    assert (found["unknown"] is not None) is (verdict == "unknown")


def test_every_rule_met_is_told_with_its_line(capsys):
    _, found = told(capsys, "--src", "198.51.100.9", "--dport", "5060", "--payload", SCAN)
    met = [(rule["chain"], rule["matched"]) for rule in found["rules"]]
    assert met[0] == ("VOS-MEDIA-IN", False)
    assert ("VOS-SIGNATURES", True) in met
    assert all(rule["where"] and rule["rule"].startswith("-A VOS-") for rule in found["rules"])


def test_expectations_are_exit_codes(capsys):
    words = ["trace", "edge-a", "--src", "198.51.100.9", "--proto", "tcp", "--dport", "22"]
    assert run([*words, "--expect", "drop"]) == 0
    assert run([*words, "--expect", "accept"]) == 1
    assert "drop: from nobody else (inventory/group_vars/all/main.yml:32)" in capsys.readouterr().out


def test_a_flood_says_how_much_passes(capsys):
    words = (
        "--src",
        "198.51.100.9",
        "--dport",
        "5060",
        "--payload",
        "REGISTER sip:x SIP/2.0",
        "--rate",
        "30/s",
    )
    assert run(["trace", "edge-a", *words]) == 0
    shown = capsys.readouterr().out
    assert "the first 10 pass, then 2 a second" in shown
    assert "rules of firewall.signatures" in shown


def test_known_sources_are_named(capsys):
    assert run(["trace", "edge-a", "--src", "10.231.0.10", "--dport", "5060"]) == 0
    assert "gateway 'acme'" in capsys.readouterr().out


def test_a_text_depends_on_the_kernel_where_versions_differ(capsys):
    late = ("--src", "198.51.100.9", "--dport", "5060", "--payload", "xOPTIONS sip:1 SIP/2.0")
    assert told(capsys, *late)[1]["verdict"] == "unknown"
    assert told(capsys, *late, "--kernel", "6.1")[1]["verdict"] == "drop"
    assert told(capsys, *late, "--kernel", "6.6")[1]["verdict"] == "accept"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("edge-x", "--src", "192.0.2.1", "--dport", "5060"), "no host 'edge-x' in the inventory"),
        (("edge-a", "--src", "192.0.2.1"), "add --dport 5060"),
        (("edge-a", "--src", "2001:db8::1", "--dport", "5060"), "has no IPv6 address in the site"),
        (("edge-a", "--src", "nowhere", "--dport", "5060"), "write it as 198.51.100.9"),
        (("edge-a", "--src", "192.0.2.1", "--dport", "5060", "--rate", "fast"), "write it as 30/s"),
    ],
)
def test_mistakes_say_what_to_do(capsys, words, said):
    assert run(["trace", *words]) in (1, 64)
    assert said in capsys.readouterr().err
