"""``vosctl calls`` against a real relay, through the node agent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from relay_calls import Node, g711

from vosctl.cli.main import run

MAIN = "from vosctl.cli.main import main; main()"
INVENTORY = """
all:
  vars: {{firewall: {{enabled: false}}}}
  hosts:
    edge-a: {{connection: local, root: "{root}", relay: {{addresses: [{address}]}}}}
    other: {{connection: local, root: "{root}-other", relay: {{addresses: [192.0.2.9]}}}}
"""


@pytest.fixture
def talking(nodes, phones, tmp_path, monkeypatch):
    """A relay with two calls, one of which has media; the site is the working directory."""
    node: Node = nodes("edge-a")
    caller, callee = phones(), phones()
    node.gateway("acme", caller.address)
    node.gateway("vendor", callee.address)
    node.start()
    names = {"vos_from": "acme", "vos_to": "vendor"}
    with node.client() as ng:
        ng.offer("one", "f", caller.sdp(), **names)
        back = ng.answer("one", "f", "t", callee.sdp(), **names)
        ng.offer("two", "f", caller.sdp())
    for packet in g711(20, seed=1):
        caller.send(packet, back)
    callee.drain(20)
    (tmp_path / "hosts.yml").write_text(INVENTORY.format(root=node.root, address=node.address))
    monkeypatch.chdir(tmp_path)
    return node


def test_the_calls_of_a_node(talking, capsys):
    assert run(["calls", "edge-a", "-i", "hosts.yml"]) == 0
    text = capsys.readouterr().out
    first = next(line for line in text.splitlines() if " one " in line).split()
    assert (first[0], first[3], first[4], first[6], first[7]) == ("edge-a", "acme", "PCMA/20", "20", "0.00")
    assert "two (rings)" in text
    assert "2 calls" in text


def test_json_holds_all_that_the_relay_says(talking, capsys):
    assert run(["calls", "edge-a", "-i", "hosts.yml", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["edge-a"]
    assert found["status"] == "ok"
    calls = {call["call-id"]: call for call in found["report"]["calls"]}
    assert calls.keys() == {"one", "two"}
    leg = calls["one"]["legs"][0]
    assert (leg["name"], leg["packets"], leg["lost"], leg["kid"]) == ("acme", 20, 0, "")


def test_filters_reach_the_table(talking, capsys):
    assert run(["calls", "edge-a", "-i", "hosts.yml", "--name", "acme", "--sort", "loss", "--top", "1"]) == 0
    text = capsys.readouterr().out
    assert " one " in text
    assert "two" not in text
    assert "2 calls, 1 shown" in text


def test_a_node_without_a_relay_fails_and_the_others_are_shown(talking, capsys):
    assert run(["calls", "-i", "hosts.yml"]) == 2
    shown = capsys.readouterr()
    assert " one " in shown.out
    assert "the relay does not answer on /run/vosctl-relay/control.sock" in shown.err


def test_an_unknown_node_is_named(talking, capsys):
    assert run(["calls", "edge-z", "-i", "hosts.yml"]) == 1
    assert "edge-z" in capsys.readouterr().err


def test_watch_looks_again_over_one_connection_and_ends_with_the_interrupt(talking):
    command = [sys.executable, "-c", MAIN, "calls", "edge-a", "-i", "hosts.yml", "--watch", "--every", "0.5"]
    with subprocess.Popen(
        [*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        looks = [json.loads(process.stdout.readline()) for _ in range(3)]
        agents = subprocess.run(
            ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert [look["node"] for look in looks] == ["edge-a"] * 3
    assert looks[0]["time"] < looks[1]["time"] < looks[2]["time"]
    assert {call["call-id"] for call in looks[2]["calls"]} == {"one", "two"}
    assert len(agents) == 1
