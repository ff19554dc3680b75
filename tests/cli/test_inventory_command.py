"""The dynamic inventory, read by Ansible itself where it is installed, and stored plans that are only checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vosctl.cli.main import run


@pytest.fixture
def site(tmp_path, monkeypatch):
    (tmp_path / "inventory/group_vars").mkdir(parents=True)
    (tmp_path / "inventory/hosts.yml").write_text(
        "all:\n  children:\n    edges:\n      hosts:\n"
        f"        edge-a: {{host: 192.0.2.6, root: {tmp_path}/a}}\n"
        "        edge-b: {host: 192.0.2.7, port: 2222, user: ops, become: true}\n"
        "  hosts:\n    lone: {host: 192.0.2.9}\n"
    )
    (tmp_path / "inventory/group_vars/all.yml").write_text(
        "demo: true\nrelay: {enabled: false}\nfirewall: {enabled: false}\nfiles: {/etc/probe: {content: one}}\n"
    )
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_listing_host_and_graph(site, capsys):
    assert run(["inventory", "--list"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["edges"] == {"hosts": ["edge-a", "edge-b"]}
    assert found["ungrouped"] == {"hosts": ["lone"]}
    assert found["all"] == {"children": ["edges", "ungrouped"]}
    assert run(["inventory", "--host", "edge-b"]) == 0
    edge = json.loads(capsys.readouterr().out)
    assert edge == found["_meta"]["hostvars"]["edge-b"]
    assert (edge["ansible_host"], edge["ansible_port"], edge["ansible_user"]) == ("192.0.2.7", 2222, "ops")
    assert edge["ansible_become"] is True
    assert run(["inventory", "--graph"]) == 0
    assert capsys.readouterr().out.splitlines()[:4] == [
        "@all:",
        "  |--@edges:",
        "  |  |--edge-a",
        "  |  |--edge-b",
    ]


@pytest.mark.parametrize("words", [[], ["--list", "--graph"], ["--host", "edge-x"]])
def test_wrong_usage(site, words):
    assert run(["inventory", *words]) == 64


def ansible(site, program, *words):
    environment = {"PATH": os.environ["PATH"], "HOME": str(site), "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        [program, *words], cwd=site, env=environment, capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip


VOSCTL = f"{sys.executable} -c 'import sys; from vosctl.cli.main import main; main(sys.argv[1:])'"
ROOT = Path(__file__).parents[2]


@pytest.mark.requires("ansible-inventory")
def test_ansible_reads_it(site):
    program = site / "from-vosctl"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {VOSCTL} inventory -i {site}/inventory "$@"\n')
    program.chmod(0o755)
    done = ansible(site, "ansible-inventory", "-i", str(program), "--list")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["edges"]["hosts"] == ["edge-a", "edge-b"]
    assert found["_meta"]["hostvars"]["edge-b"]["ansible_port"] == 2222


@pytest.mark.requires("ansible-playbook")
def test_a_play_calls_vosctl(site):
    play = [{"hosts": "localhost", "gather_facts": False, "tasks": [
        {"name": "voice", "command": {"argv": ["/bin/sh", "-c", f"PYTHONPATH={ROOT} {VOSCTL} apply --connection local -l edge-a"]},
         "register": "applied", "changed_when": "'changed' in applied.stdout"}]}]  # fmt: skip
    (site / "play.json").write_text(json.dumps(play))
    done = ansible(
        site,
        "ansible-playbook",
        "-i",
        "localhost,",
        "-c",
        "local",
        "-e",
        f"ansible_python_interpreter={sys.executable}",
        "play.json",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (site / "a/etc/probe").read_text() == "one"


def test_a_stored_plan_is_checked_before_it_is_shown(site, capsys):
    assert run(["plan", "-c", "local", "-l", "edge-a", "--out", "plan.json"]) == 0
    assert run(["apply", "plan.json", "-c", "local", "-C"]) == 0
    (site / "a/etc").mkdir()
    (site / "a/etc/probe").write_text("somebody else's")
    capsys.readouterr()
    assert run(["apply", "plan.json", "-c", "local", "-C"]) == 2
    assert "the node moved since the plan was made" in "".join(capsys.readouterr())
    (site / "inventory/group_vars/all.yml").write_text(
        "demo: true\nrelay: {enabled: false}\nfirewall: {enabled: false}\n"
    )
    assert run(["apply", "plan.json", "-c", "local", "-C"]) == 1
    assert "the site is not any more what the plan" in capsys.readouterr().err


def test_this_machine_is_one_node_only(site, capsys):
    assert run(["apply", "-c", "local"]) == 64
    assert "--connection local is for one node, and 3 are meant" in capsys.readouterr().err
