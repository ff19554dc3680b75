"""A new user's first site: the README's own commands, against three hosts that have nothing but sshd and python3."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from vosctl.cli.main import run
from vosctl.fleet import Fleet, HostSpec

README = Path(__file__).parents[2] / "README.md"
NODES = ("edge-1", "edge-2", "edge-3")


def commands() -> list[list[str]]:
    """Return the vosctl commands of the README's section on a first site."""
    section = README.read_text().split("## Three fresh hosts")[1].split("\n## ")[0]
    lines = re.findall(r"^\$ vosctl ([^#\n]+)", section, re.MULTILINE)
    return [shlex.split(line) for line in lines]


@pytest.mark.netns
@pytest.mark.requires("iptables", "ipset")
def test_the_readme_brings_up_three_fresh_hosts(tmp_path, monkeypatch, capsys):
    (tmp_path / "home").mkdir()
    (tmp_path / "voice").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VOSCTL_KNOWN_HOSTS", str(tmp_path / "home/known_hosts"))
    monkeypatch.chdir(tmp_path / "voice")
    hosts = tuple(HostSpec(name, f"10.231.0.{at}") for at, name in enumerate(NODES, 11))
    told = []
    with Fleet.up(hosts, tmp_path / "fleet") as fleet:
        monkeypatch.setenv("VOSCTL_PRIVATE_KEY", str(fleet.private_key))
        for line in commands():
            words = [word.replace("192.0.2.", "10.231.0.") for word in line]
            words += ["--yes"] * ("--accept" in words)
            code = fleet.inside(None, lambda words=words: run(words))
            shown = capsys.readouterr()
            told.append((words[0], code, shown.out))
            assert code == 0, (words, shown.out, shown.err)
        out = fleet.exec("edge-3", ["iptables", "-S", "VOS-INPUT"]).stdout
        assert "firewall.management.ssh" in out
    names = [word for word, _, _ in told]
    assert names == ["init", "validate", "ssh-keyscan", "ssh-keyscan", "plan", "apply", "status"]
    assert all(f"{name} : changed" in re.sub(" +", " ", told[5][2]) for name in NODES)
    assert "10.231.255.1/32" in Path("inventory/group_vars/all/main.yml").read_text()


def test_a_site_is_begun_only_where_there_is_none(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["init", "a=192.0.2.1", "b=2001:db8::2", "-u", "ops", "--admin", "198.51.100.0/24"]) == 0
    assert "user: ops\n    become: true" in Path("inventory/hosts.yml").read_text()
    capsys.readouterr()
    assert run(["compile", "playbooks/site.yml", "--json"]) == 0
    assert sorted(json.loads(capsys.readouterr().out)) == ["a", "b"]
    before = Path("inventory/hosts.yml").read_text()
    assert run(["init", "c=192.0.2.3", "--admin", "192.0.2.9"]) == 64
    assert "exist already" in capsys.readouterr().err
    assert Path("inventory/hosts.yml").read_text() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a=192.0.2.1", "a=192.0.2.2"], "named twice"),
        (["a b"], "names no node"),
        (["a={{x}}"], "names no node"),
        (["a=192.0.2.1", "--admin", "192.0.2.1/24"], "has host bits set"),
    ],
)
def test_what_is_no_site(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert run(["init", *words]) == 64
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
