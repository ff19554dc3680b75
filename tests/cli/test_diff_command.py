"""``vosctl diff``: two revisions of a real git repository, compiled and compared."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from vosctl.cli.main import run

EXAMPLE = Path(__file__).parents[2]
MAIN = "inventory/group_vars/all/main.yml"
ADMIN = "IPv4 TCP from 198.51.100.0/28 to port 22: now {} by firewall.management.ssh"


def git(*words: str) -> str:
    names = ("-c", "user.name=Test", "-c", "user.email=test@example.net")
    return subprocess.run(("git", *names, *words), check=True, capture_output=True, text=True).stdout


def edit(path: str, old: str, new: str) -> None:
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new, 1))


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A repository that holds the example site in a folder, with a change of the administrators as its second commit."""
    for folder in ("inventory", "playbooks"):
        shutil.copytree(EXAMPLE / folder, tmp_path / "voice" / folder)
    monkeypatch.chdir(tmp_path / "voice")
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message=before")
    edit(MAIN, "admin: [10.231.255.0/24]", "admin: [10.231.255.0/24, 198.51.100.0/28]")
    git("commit", "--quiet", "--all", "--message=after")
    return tmp_path / "voice"


def diff(capsys, *words: str) -> tuple[int, str, str]:
    code = run(["diff", *words, "playbooks/site.yml"])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_newly_accepted_and_newly_dropped_in_words(site, capsys):
    code, out, err = diff(capsys, "HEAD~1..HEAD", "-l", "edge-a")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "HEAD~1..HEAD: 1 of 1 node changes, no risk seen"
    traffic = [line.strip() for line in lines[lines.index("  traffic") + 1 : lines.index("  setting")]]
    assert len(traffic) == 4, out
    assert any(line.startswith(ADMIN.format("accepted")) for line in traffic), out
    assert "that no rule before takes: now accepted by firewall.default" in traffic[-1]
    _, out, _ = diff(capsys, "HEAD..HEAD~1", "-l", "edge-a")
    assert ADMIN.format("dropped") in out
    assert "[cuts-controller]" in out


def test_one_revision_is_held_against_the_working_tree(site, capsys):
    assert diff(capsys, "HEAD")[1] == "HEAD..working tree: nothing changes on 2 nodes\n"
    edit(MAIN, ", 198.51.100.0/28]", "]")
    assert ADMIN.format("dropped") in diff(capsys, "HEAD")[1]
    assert diff(capsys, "HEAD~1")[1] == "HEAD~1..working tree: nothing changes on 2 nodes\n"


def test_nothing_of_the_repository_is_touched(site, capsys):
    edit(MAIN, ", 198.51.100.0/28]", ", 198.51.100.16/28]")
    git("add", "--all")
    before = git("status", "--porcelain=2"), git("worktree", "list")
    assert diff(capsys, "HEAD~1..HEAD")[0] == 0
    assert (git("status", "--porcelain=2"), git("worktree", "list")) == before
    assert Path.cwd() == site


def test_a_wrong_site_is_named_with_its_revision(site, capsys):
    edit("inventory/host_vars/edge-a.yml", "tier: medium", "tier: medum")
    git("commit", "--quiet", "--all", "--message=wrong")
    code, out, err = diff(capsys, "HEAD~1..HEAD")
    assert (code, out) == (1, "")
    assert err.startswith("HEAD:inventory/host_vars/edge-a.yml:12:11 gateways.acme.tier: error: ")


@pytest.mark.parametrize(
    ("revisions", "said"),
    [
        ("nowhere", "git knows no revision 'nowhere'"),
        ("--help-me", "No such option"),
        ("HEAD~1...HEAD", "vosctl diff takes A..B"),
    ],
)
def test_wrong_revisions(site, capsys, revisions, said):
    code, out, err = diff(capsys, revisions)
    assert (code, out) == (64, "")
    assert said in err


def test_outside_of_a_repository(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    code, _, err = diff(capsys, "HEAD")
    assert code == 64
    assert "the current folder is in no git repository" in err


def test_a_loss_with_its_traffic_fails_where_the_pipeline_asks(site, capsys, tmp_path):
    """Vendor orbit, which no guard holds back, is the only one left for London below what wholesale pays."""
    for old, new in (
        ('"4420": {rate: 0.0072, cycle: 1}', '"4420": {rate: 0.0172, cycle: 1}'),
        ('"4420": {rate: 0.0125, cycle: 1} # London', '"4420": {rate: 0.0052, cycle: 1} # London'),
    ):
        edit("inventory/group_vars/all/rates.yml", old, new)
    Path("inventory/host_vars/edge-b.yml").write_text(
        re.sub(r"    profit: .*\n", "", Path("inventory/host_vars/edge-b.yml").read_text())
    )
    traffic = tmp_path / "traffic.csv"
    traffic.write_text("prefix,minutes,group\n44207,1500,wholesale\n4420,20.5,\n49,7,\n")
    words = ("HEAD", "-l", "edge-a", "--traffic", str(traffic))
    code, out, err = diff(capsys, *words, "--fail-on", "negative-margin")
    assert (code, err) == (5, ""), err
    told = next(line for line in out.splitlines() if "sold at a loss:" in line and "wholesale" in line)
    assert "4420" in told
    assert "1,520.5 minutes of traffic [negative-margin]" in told
    assert diff(capsys, *words, "--fail-on", "no-route")[0] == 0
