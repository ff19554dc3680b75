"""The command line without nodes: exit codes, where output goes, and what it says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from vosctl.cli.main import run

EXAMPLE = Path(__file__).parents[2]
AES_KEY = "u7XkQ2mZr94TbnLe"


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


def test_the_example_is_valid(site, capsys):
    assert run(["validate", "playbooks/site.yml"]) == 0
    assert capsys.readouterr().out == "2 nodes, 6 gateways, 2 trunks: no errors, 1 warning\n"


def test_all_errors_come_at_once_on_standard_error(site, capsys):
    edit(site / "inventory/host_vars/edge-a.yml", "tier: medium", "tier: medum")
    edit(site / "inventory/group_vars/all/trunks.yml", AES_KEY, "YourSecureKey128Bit")
    edit(site / "inventory/group_vars/all/main.yml", "media: EF", "media: 184")
    assert run(["validate", "playbooks/site.yml"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "3 errors" in shown.err
    for words in (
        "inventory/host_vars/edge-a.yml:12:11 gateways.acme.tier: error: ",
        "did you mean 'medium'?",
        "has 19 [key-length]",
        "inventory/group_vars/all/main.yml:12:10 qos.media: error: 184 is the ToS byte of EF, DSCP 46",
    ):
        assert words in shown.err
    for words in ("Traceback", "YourSecureKey128Bit"):
        assert words not in shown.err


def test_json_is_alone_on_standard_output(site, capsys):
    edit(site / "inventory/host_vars/edge-a.yml", "tier: medium", "tier: medum")
    assert run(["validate", "playbooks/site.yml", "--json"]) == 1
    shown = capsys.readouterr()
    assert shown.err == ""
    found = json.loads(shown.out)
    assert found["ok"] is False
    assert [problem["path"] for problem in found["problems"]] == ["gateways.acme.tier"]


def test_json_by_environment(site, capsys, monkeypatch):
    monkeypatch.setenv("VOSCTL_JSON", "1")
    assert run(["validate", "playbooks/site.yml"]) == 0
    assert json.loads(capsys.readouterr().out)["nodes"] == ["edge-a", "edge-b"]


def test_variables_from_the_environment_may_hold_blanks(site, capsys, monkeypatch):
    monkeypatch.setenv("VOSCTL_EXTRA_VARS", '{"media": {"jitter": "lan"}}\nmedia.ptime=30')
    assert run(["explain", "edge-a", "media", "playbooks/site.yml", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [layer["value"] for layer in said if layer["layer"] == "--extra-vars"] == [
        {"jitter": "lan"},
        {"ptime": 30},
    ]


def test_no_host_matched_is_an_error(site, capsys):
    assert run(["validate", "playbooks/site.yml", "-l", "edge-z"]) == 1
    assert "edge-z" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["aply"], ["apply", "--no-such"], ["explain", "edge-a"], ["plan", "-f", "0"]]
)
def test_usage_errors_exit_with_64(site, capsys, arguments):
    assert run(arguments) == 64
    assert "Usage: vosctl" in capsys.readouterr().err


def test_a_missing_playbook_is_named(site, capsys):
    assert run(["validate", "playbooks/none.yml"]) == 1
    assert "playbooks/none.yml" in capsys.readouterr().err


def test_list_hosts_talks_to_nobody(site, capsys):
    assert run(["apply", "playbooks/site.yml", "--list-hosts", "-l", "edge-b"]) == 0
    assert capsys.readouterr().out.split() == ["hosts", "(1):", "edge-b"]


def test_explain_shows_layers_and_the_winner(site, capsys):
    assert run(["explain", "edge-a", "media.jitter", "playbooks/site.yml", "-e", "media.jitter=lan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("=>")] == [lines[-1]]
    assert '"lan"' in lines[-1]
    assert any("inventory/group_vars/all/main.yml:17:11" in line for line in lines)


def test_explain_names_the_host_that_was_meant(site, capsys):
    assert run(["explain", "edge-aa", "media.jitter", "playbooks/site.yml"]) == 64
    assert "did you mean 'edge-a'?" in capsys.readouterr().err


def test_explain_hides_secrets(site, capsys):
    for arguments in (["--json"], []):
        assert run(["explain", "edge-a", "keys", "playbooks/site.yml", *arguments]) == 0
        shown = capsys.readouterr().out
        assert AES_KEY not in shown
        assert "<secret " in shown


def test_compile_writes_what_nodes_would_get(site, capsys):
    assert run(["compile", "playbooks/site.yml", "--out", "out", "-l", "edge-a"]) == 0
    assert "edge-a: " in capsys.readouterr().out
    written = {
        str(path.relative_to("out/edge-a")): path for path in Path("out/edge-a").rglob("*") if path.is_file()
    }
    relay = json.loads(written["files/etc/vosctl/relay.json"].read_text())
    assert relay["trunks"]["ab"]["mode"] == "aes128"
    assert all(AES_KEY.encode() not in path.read_bytes() for path in written.values())
    assert not Path("out/edge-b").exists()
    assert run(["compile", "playbooks/site.yml", "--out", "out", "--reveal-secrets"]) == 0
    keys = Path("out/edge-a/files/etc/vosctl/relay-keys.json")
    assert AES_KEY in keys.read_text()
    assert keys.stat().st_mode & 0o077 == 0


def test_compile_does_not_overwrite_what_it_did_not_write(site, capsys):
    Path("out/edge-a").mkdir(parents=True)
    Path("out/edge-a/mine.txt").write_text("mine")
    assert run(["compile", "playbooks/site.yml", "--out", "out"]) == 1
    assert Path("out/edge-a/mine.txt").read_text() == "mine"
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell, capsys):
    assert run(["completion", shell]) == 0
    assert "_VOSCTL_COMPLETE" in capsys.readouterr().out


def test_a_bug_is_a_traceback_and_a_request(site, capsys, monkeypatch):
    def broken(*_arguments, **_options):
        raise ZeroDivisionError

    monkeypatch.setattr("vosctl.cli.loading.read_site", broken)
    assert run(["validate", "playbooks/site.yml"]) == 1
    shown = capsys.readouterr().err
    assert "ZeroDivisionError" in shown
    assert "please report" in shown
