"""vosctl rotate-keys as operators and timers call it: choices, screens, JSON, commits, encrypted files, no secret anywhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from vosctl.demo.stage import program
from vosctl.vault.document import parse

TOP = Path(__file__).parents[2]
QUICK = ("--wait", "5", "--watch", "0", "--patience", "0")
SECRETS = ("u7XkQ2mZr94TbnLe", "Jw5pVe81sHdYq3Ct", "f3Nq8RzT1yUv6KjWc0BmXp7L")
PASSWORD = "four drawn words here"


def git(site, *words):
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(site.site), "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": "tester@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }  # fmt: skip
    done = subprocess.run(
        ("git", *words), cwd=site.site, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def repository(site):
    git(site, "init", "-q", "-b", "main")
    for name, value in (("user.name", "Tester"), ("user.email", "tester@example.org")):
        git(site, "config", name, value)
    git(site, "add", "-A")
    git(site, "commit", "-qm", "begin")
    yield site
    shutil.rmtree(site.site / ".git")


def silent(done, *secrets):
    for secret in (*SECRETS, *secrets):
        assert secret not in done.stdout + done.stderr
    return done


def test_an_old_key_is_rotated_and_committed_signed(repository, tmp_path):
    site = repository
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "sign")), check=True)
    git(site, "config", "gpg.format", "ssh")
    git(site, "config", "user.signingkey", str(tmp_path / "sign"))
    looked = silent(site.vosctl("rotate-keys", "playbooks/rotate-keys.yml", "--older-than", "30d", "--check"))
    assert "ab: would get a new key; ab-2026q4 is of unknown age" in looked.stdout
    assert "ab-metro: would get a new key" in looked.stdout
    done = silent(site.vosctl("rotate-keys", "ab", "--commit", "--sign", *QUICK))
    assert done.returncode == 0, done.stderr
    key = site.said()[0]
    assert done.stdout.splitlines()[:3] == [
        f"ab (edge-a - edge-b, aes128): ab-2026q4 -> {key}",
        f"  stage      both ends hold {key}; new calls still use ab-2026q4",
        f"  activate   new calls use {key}; calls that run keep ab-2026q4",
    ]
    assert git(site, "status", "--porcelain") == ""
    body = git(site, "cat-file", "commit", "HEAD")
    assert "gpgsig" in body
    trailer = git(site, "log", "-1", "--format=%(trailers:key=Vosctl-Rotation,valueonly)").strip()
    words = dict(word.split("=") for word in trailer.split())
    assert (words["trunk"], words["old"], words["new"]) == ("ab", "ab-2026q4", key)
    assert words["outcome"] == "rotated"
    assert git(site, "show", "--name-only", "--format=", "HEAD").split() == [
        "inventory/group_vars/all/trunks.yml",
        "rotations/reports.jsonl",
    ]
    looked = site.vosctl("rotate-keys", "ab", "--older-than", "30d", "--json")
    assert json.loads(looked.stdout) == {"would_rotate": []}
    told = silent(site.vosctl("keys", "--trunk", "ab"), site.keys("edge-a")[key])
    assert f"new calls use {key}, " in told.stdout
    assert "both ends hold the site's keys" in told.stdout
    status = json.loads(site.vosctl("status", "--json").stdout)
    assert status["edge-a"]["keys"]["ab"] == {"key": key, "age_days": 0, "due": False}
    log = (site.site / ".vosctl/rotations.jsonl").read_text()
    assert site.keys("edge-a")[key] not in log + site.vosctl("status").stdout
    assert [json.loads(line)["what"] for line in log.splitlines()][-1] == "ended"


def test_what_stands_is_committed_for_another_machine_to_go_on(repository, tmp_path):
    site = repository
    hang_up = site.call("long")
    done = silent(site.vosctl("rotate-keys", "ab", "--commit", "--wait", "1", "--watch", "0"))
    assert done.returncode == 2
    assert "the rotation stopped at its step 'wait': 1 call still on ab-2026q4" in done.stderr
    assert "--resume goes on, --abort goes back to the old key" in done.stderr
    assert "outcome=under-way step=wait" in git(site, "log", "-1", "--format=%B")
    hang_up()
    second = silent(site.vosctl("rotate-keys", "ab", *QUICK))
    assert second.returncode == 64
    assert re.search(
        r"a rotation of trunk ab from ab-2026q4 to \S+, begun by \S+ at \S+, stands at its step",
        second.stderr,
    )
    elsewhere = tmp_path / "clone"
    git(site, "clone", "-q", str(site.site), str(elsewhere))
    finished = subprocess.run(
        (program(), "rotate-keys", "--resume", *QUICK, "--json"),
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    (report,) = json.loads(silent(finished).stdout)["reports"]
    assert report["outcome"] == "rotated"
    assert site.held("edge-a") == site.held("edge-b") == (report["new"], [report["new"]])
    # In the first clone, which pulled nothing yet, nobody can begin another one beside it.
    git(site, "reset", "-q", "--hard", "HEAD~1")
    third = silent(site.vosctl("rotate-keys", "ab", *QUICK))
    assert third.returncode == 2
    assert "is not rotated: edge-a: new calls use key" in third.stderr


def test_what_others_changed_is_not_committed_along(repository):
    site = repository
    site.trunks.write_text(site.text.replace("The way over", "A way over"))
    done = site.vosctl("rotate-keys", "ab", "--commit", *QUICK)
    assert done.returncode == 64
    assert (
        "these files have changes that are not committed yet:\n M inventory/group_vars/all/trunks.yml"
        in done.stderr
    )


def test_an_encrypted_file_gets_an_encrypted_key(repository, tmp_path):
    site = repository
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    vault = ("--vault-password-file", str(secret))
    assert site.vosctl("vault", "init", "--new-password-file", str(secret)).returncode == 0
    for file in ("group_vars/all/trunks.yml", "host_vars/edge-a.yml"):
        assert site.vosctl("vault", "encrypt", f"inventory/{file}", *vault).returncode == 0
    before = site.trunks.read_text()
    try:
        site.cut_off("edge-b")
        failed = silent(site.vosctl("rotate-keys", "ab", *QUICK, *vault))
        assert failed.returncode == 4
        assert site.trunks.read_text() == before
        site.reach("edge-b")
        done = silent(site.vosctl("rotate-keys", "ab", *QUICK, *vault))
        assert done.returncode == 0, done.stderr
        assert "git add -- inventory/group_vars/all/trunks.yml rotations && git commit -m" in done.stderr
        key, accept = site.held("edge-a")
        assert accept == [key]
        after = site.trunks.read_text()
        assert site.keys("edge-a")[key] not in after
        tokens = {leaf.name: leaf.node.value for leaf in parse(after, "t").tokens}
        assert tokens.keys() == {f"keys.{key}.value", "keys.metro-1.value"}
        old = {leaf.name: leaf.node.value for leaf in parse(before, "t").tokens}
        assert tokens["keys.metro-1.value"] == old["keys.metro-1.value"]
        assert silent(site.vosctl("keys", *vault)).returncode == 0
    finally:
        (site.site / "vault-recipients.yml").unlink()
        git(site, "checkout", "-q", "--", "inventory")
        (site.site / ".vosctl/vault-seen.json").unlink()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name the trunks to rotate, or say --all"),
        (("--resume", "--abort"), "say which"),
        (("--resume", "--all"), "goes on as it was begun"),
        (("ab", "--all"), "not both"),
        (("ab", "--sign"), "--sign signs what --commit commits"),
        (("xy",), "no trunk with keys is called xy"),
        (("ab", "--older-than", "old"), "is no length of time"),
        (("ab", "--commit"), "the site is in no git repository"),
    ],
)
def test_what_makes_no_sense_is_refused(site, words, said):
    done = site.vosctl("rotate-keys", *words)
    assert done.returncode == 64
    assert said in done.stderr


def test_with_nothing_under_way_there_is_nothing_to_resume(site):
    done = site.vosctl("rotate-keys", "--resume")
    assert (done.returncode, done.stdout) == (0, "no rotation is under way\n")
    assert site.vosctl("rotate-keys", "ab", "--resume").returncode == 0


@pytest.mark.requires("systemd-analyze")
def test_the_timers_units_are_what_systemd_takes(tmp_path):
    units = sorted((TOP / "integrations/systemd").iterdir())
    assert [unit.name for unit in units] == ["vosctl-rotate-keys.service", "vosctl-rotate-keys.timer"]
    done = subprocess.run(
        ("systemd-analyze", "verify", *map(str, units)), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    calls = re.findall(
        r"vosctl (rotate-keys .*)", (TOP / "integrations/systemd/vosctl-rotate-keys.service").read_text()
    )
    assert calls == ["rotate-keys --resume", "rotate-keys playbooks/rotate-keys.yml --older-than 30d"]
