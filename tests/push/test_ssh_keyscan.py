"""vosctl ssh-keyscan against real servers: fingerprints as ssh-keygen has them, known_hosts as OpenSSH reads it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from vosctl.cli.main import run

pytestmark = pytest.mark.netns
HOST, OTHER = "10.231.0.2", "10.231.0.3"


@pytest.fixture
def scan(fleet, there, tmp_path, capfd):
    """Return a function that runs the command on edge-a and edge-b and returns code, output and errors."""
    (tmp_path / "home").mkdir()
    inventory = tmp_path / "hosts.yml"

    def call(*arguments: str, hosts: dict[str, str] | None = None) -> tuple[int, str, str]:
        lines = "".join(f"    {name}: {{host: {at}}}\n" for name, at in (hosts or HOSTS).items())
        inventory.write_text(f"all:\n  vars: {{firewall: {{admin: [10.231.0.0/24]}}}}\n  hosts:\n{lines}")
        words = ["ssh-keyscan", "-i", str(inventory), "--known-hosts", str(tmp_path / "known"),
                 "--ssh-config", str(config(tmp_path)), *arguments]  # fmt: skip
        code = there(run, words)
        said = capfd.readouterr()
        return code, said.out, said.err

    return call


HOSTS = {"edge-a": HOST, "edge-b": OTHER}


def config(tmp_path: Path) -> Path:
    path = tmp_path / "ssh_config"
    if not path.exists():
        path.write_text("")
    return path


def fingerprint(line: str) -> str:
    shown = subprocess.run(["ssh-keygen", "-lf", "-"], input=line, capture_output=True, text=True, check=True)
    return shown.stdout.split()[1]


def known_line(fleet, host: str) -> str:
    return next(line for line in fleet.known_hosts.read_text().splitlines() if host in line)


def test_fingerprints_are_shown_and_nothing_is_written(scan, fleet, tmp_path):
    code, out, _ = scan()
    assert code == 0
    for host in (HOST, OTHER):
        line = next(line for line in out.splitlines() if host in line)
        assert fingerprint(known_line(fleet, host)) in line
        assert "ssh-ed25519 256" in line
        assert line.endswith("new")
    assert not (tmp_path / "known").exists()


def test_node_by_name(scan):
    _, out, _ = scan("edge-b")
    assert OTHER in out
    assert HOST not in out


def test_accepted_with_yes_openssh_knows_them_and_the_next_scan_does(scan, fleet, tmp_path, there):
    assert scan("--accept", "--yes")[0] == 0
    known = tmp_path / "known"
    assert known.stat().st_mode & 0o777 == 0o600
    command = ["ssh", "-F", "/dev/null", "-i", fleet.private_key, "-o", f"UserKnownHostsFile={known}",
               "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", f"root@{HOST}", "hostname"]  # fmt: skip
    done = there(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.stdout == "edge-a\n", done.stderr
    code, out, _ = scan()
    assert code == 0
    assert out.count("  known ") == 2
    assert f"{known}:1" in out
    assert scan("--accept", "--yes")[0] == 0
    assert len(known.read_text().splitlines()) == 2


@pytest.mark.parametrize("hashed", [True, False])
def test_names_are_hashed_where_ssh_config_wants_that(scan, tmp_path, hashed):
    config(tmp_path).write_text("HashKnownHosts yes\n" if hashed else "HashKnownHosts no\n")
    scan("--accept", "--yes", "edge-a")
    assert (HOST in (tmp_path / "known").read_text()) is not hashed
    assert "  known " in scan("edge-a")[1]


def test_changed_key_is_refused_with_the_line_of_the_old_one_and_not_written(scan, fleet, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "k"], check=True)
    known = tmp_path / "known"
    known.write_text(f"# old\n{HOST} {(tmp_path / 'k.pub').read_text()}")
    before = known.read_text()
    code, out, err = scan("--accept", "--yes", "edge-a")
    assert code == 2
    assert f"changed {known}:2" in out
    assert f"{known}:2" in err
    assert f"ssh-keygen -R '{HOST}' -f {known}" in err
    assert known.read_text() == before


def test_json(scan, fleet):
    code, out, _ = scan("--json", "edge-a")
    (found,) = json.loads(out)
    assert code == 0
    assert found["keys"] == [
        {
            "host": HOST,
            "type": "ssh-ed25519",
            "bits": 256,
            "fingerprint": fingerprint(known_line(fleet, HOST)),
            "state": "new",
            "where": [],
        }
    ]
    assert scan("--json", "--accept")[0] == 64


def test_node_that_is_not_there_does_not_hide_the_other(scan):
    code, out, err = scan(hosts={"edge-a": HOST, "gone": "10.231.0.99"})
    assert code == 4
    assert HOST in out
    assert "gone: " in err


def test_unknown_jump_host_is_shown_before_the_node_behind_it(scan, fleet, tmp_path):
    config(tmp_path).write_text(
        f"Host {OTHER}\n ProxyJump root@{HOST}\nHost *\n IdentityFile {fleet.private_key}\n IdentitiesOnly yes\n"
    )
    _, out, _ = scan("edge-b", "--accept", "--yes")
    assert f"edge-b (jump host)  {HOST}" in out
    _, out, _ = scan("edge-b", "--accept", "--yes")
    assert OTHER in out
    assert "jump host" not in out
    assert len((tmp_path / "known").read_text().splitlines()) == 2


@pytest.mark.parametrize("answer", ["y", "n"])
def test_question_before_it_is_written(scan, tmp_path, monkeypatch, answer):
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r") as stdin, os.fdopen(ours, "w") as keyboard:
        monkeypatch.setattr("sys.stdin", stdin)
        keyboard.write(f"{answer}\n")
        keyboard.flush()
        code, _, err = scan("edge-a", "--accept")
    assert code == 0
    assert "Write 1 new key of 1 host" in err
    assert (tmp_path / "known").exists() is (answer == "y")
