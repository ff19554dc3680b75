"""Markdown, JSON, SARIF and the terminal: what people and machines read of a review."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from review_samples import edit, git
from rich.console import Console
from rich.text import Text

from vosctl.cli.main import run
from vosctl.plan.risk import Level, Risk
from vosctl.report.review import print_review
from vosctl.report.review_markdown import LIMIT, render
from vosctl.review.model import Area, Finding, NodeReview, Review, State
from vosctl.site.tree import Mark

MAIN = "inventory/group_vars/all/main.yml"
TRUNKS = "inventory/group_vars/all/trunks.yml"


def sample(count: int, text: str = "changes") -> Review:
    risky = Finding(Area.TRUNK, "trunk ab", "encryption aes128 → none", (Risk.WEAKENS_ENCRYPTION,),
                    Mark("inventory/a.yml", 7, 3))  # fmt: skip
    plain = tuple(
        Finding(
            Area.FILE, f"file /etc/{at}", text, (), Mark("inventory/b.yml", at + 1, 1), detail=(f"+{text}",)
        )
        for at in range(count)
    )
    return Review(
        "a", "b", (NodeReview("edge-a", State.CHANGED, (risky, *plain)), NodeReview("edge-b", State.SAME))
    )


def shown(review: Review, width: int, *, terminal: bool, diff: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system="truecolor" if terminal else None,
                      emoji=False, markup=False, highlight=False)  # fmt: skip
    print_review(console, review, diff=diff)
    return file.getvalue()


def test_signs_and_words_carry_what_colours_do():
    text = shown(sample(1), 200, terminal=False)
    assert text.splitlines() == [
        "a..b: 1 of 2 nodes changes, 1 risk",
        "!! weakens-encryption ×1  A trunk's media is protected less than before.",
        "",
        "edge-a",
        "  trunk",
        "  !! trunk ab: encryption aes128 → none [weakens-encryption]  inventory/a.yml:7",
        "  file",
        "     file /etc/0: changes  inventory/b.yml:1",
        "",
        "nothing changes on edge-b",
    ]
    assert "       +changes" in shown(sample(1), 200, terminal=False, diff=True)


def test_a_narrow_terminal_wraps_behind_the_sign_and_no_colour_is_red_or_green():
    text = shown(sample(1, "words " * 40), 60, terminal=True)
    lines = [Text.from_ansi(line).plain for line in text.splitlines()]
    assert max(len(line.rstrip()) for line in lines) <= 60
    assert any(line.startswith("     words ") for line in lines)
    for colour in ("[31m", "[32m", "[91m", "[92m", ";31m", ";32m"):
        assert colour not in text


def test_markdown_links_lines_and_folds_nodes():
    text = render(sample(2), links="https://git.example/x/blob/c0ffee/", folder="voice")
    assert "| trunk | trunk ab: encryption aes128 → none | `weakens-encryption` |" in text
    assert "[inventory/a.yml:7](https://git.example/x/blob/c0ffee/voice/inventory/a.yml#L7)" in text
    assert "<details open><summary><b>edge-a</b>: 3 changes, 1 to look at</summary>" in text
    assert text.count("<details") == text.count("</details>") == 3
    assert "Nothing changes on edge-b." in text


@pytest.mark.parametrize("count", [10, 1_000, 5_000])
def test_markdown_fits_a_comment_and_keeps_the_risks(count):
    text = render(sample(count, "ünïcode | <b> words"))
    assert len(text.encode()) <= LIMIT
    assert text.count("<details") == text.count("</details>")
    assert "encryption aes128 → none | `weakens-encryption`" in text
    assert "ünïcode &#124; &lt;b&gt; words" in text or count > 10
    assert ("left out" in text) == (count > 10)


def test_even_risks_without_end_fit():
    risky = tuple(
        Finding(Area.GATEWAY, f"gateway g{at}", "removed", (Risk.DROPS_PEER, Risk.OPENS_PORT))
        for at in range(2_000)
    )
    text = render(Review("a", "b", (NodeReview("n", State.CHANGED, risky),)))
    assert len(text.encode()) <= LIMIT
    assert "cut here" in text
    assert "| `drops-peer` | warning | 2000 |" in text


def test_sarif_has_a_rule_and_a_place_for_each_result(site, capsys):
    edit(TRUNKS, ("encryption: aes128", "encryption: rc4"))
    edit(MAIN, ("admin: [10.231.255.0/24]", "admin: [10.231.255.0/25]"))
    assert run(["diff", "HEAD", "playbooks/site.yml", "--format", "sarif", "--out", "r.sarif"]) == 0
    log = json.loads(Path("r.sarif").read_text())
    (made,) = log["runs"]
    rules = [rule["id"] for rule in made["tool"]["driver"]["rules"]]
    levels = {risk.value: risk.level.value for risk in Risk}
    assert {"weakens-encryption", "cuts-controller"} <= set(rules)
    for result in made["results"]:
        place = result["locations"][0]["physicalLocation"]
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] == levels[result["ruleId"]]
        assert (site.parent / place["artifactLocation"]["uri"]).is_file()
        assert place["region"]["startLine"] >= 1
    weak = next(each for each in made["results"] if each["ruleId"] == "weakens-encryption")
    line = weak["locations"][0]["physicalLocation"]["region"]["startLine"]
    assert Path(TRUNKS).read_text().splitlines()[line - 1] == "  ab:"
    fingerprints = [each["partialFingerprints"]["vosctlFinding/v1"] for each in made["results"]]
    assert len(fingerprints) == len(set(fingerprints))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), 0),
        (("--fail-on", "lowers-limit"), 5),
        (("--fail-on", "weakens-encryption"), 0),
        (("--fail-on", "error"), 0),
        (("--fail-on", "warning"), 5),
        (("--fail-on", "error,lowers-limit"), 5),
        (("--fail-on", "any", "--json"), 5),
        (("--fail-on", "lower-limit"), 64),
    ],
)
def test_fail_on(site, capsys, words, code):
    edit("inventory/host_vars/edge-a.yml", ("limits: {cps: 60}", "limits: {cps: 40}"))
    assert run(["diff", "HEAD", "playbooks/site.yml", *words]) == code
    if code == 64:
        assert "no such risk" in capsys.readouterr().err


def test_every_risk_is_explained_and_has_a_stable_id():
    for risk in Risk:
        assert risk.about.title.endswith(".")
        assert risk.about.help
        assert risk.level in Level
    assert [risk.value for risk in Risk] == [
        "opens-port", "drops-peer", "cuts-controller", "weakens-encryption", "unstaged-key", "reused-key-id",
        "negative-margin", "locks-vendor", "no-route", "lowers-limit", "narrows-codecs", "restarts-relay",
        "stops-service", "removes-node",
    ]  # fmt: skip


def test_blame_names_the_commit_of_each_value(site, capsys):
    edit("inventory/host_vars/edge-a.yml", ("tier: medium", "tier: small"))
    git("commit", "--quiet", "--all", "--message=acme shrinks")
    edit("inventory/host_vars/edge-a.yml", ("addresses: [10.231.0.10]", "addresses: [10.231.0.12]"))
    assert run(["blame", "edge-a", "gateways.acme", "playbooks/site.yml", "--json"]) == 0
    told = {row["path"].rpartition(".")[2]: row for row in json.loads(capsys.readouterr().out)}
    assert (told["tier"]["subject"], told["type"]["subject"]) == ("acme shrinks", "before")
    assert told["tier"]["commit"] == git("rev-parse", "HEAD").strip()
    assert told["addresses"]["commit"] == ""
    assert run(["blame", "edge-a", "keys.metro-1.value", "playbooks/site.yml"]) == 0
    out = capsys.readouterr().out
    assert "<secret " in out
    assert "f3Nq8RzT1yUv6KjWc0BmXp7L" not in out
    assert run(["blame", "edge-a", "media.nothing", "playbooks/site.yml"]) == 64
    assert run(["blame", "edge-a", "media.ptime", "playbooks/site.yml"]) == 0
    assert "before" in capsys.readouterr().out


FLEET = """
all:
  vars: {demo: true, connection: local, relay: {enabled: false}, firewall: {enabled: false}}
  hosts:
    edge-a: {root: %s/edge-a}
    edge-b: {root: %s/edge-b}
"""


def test_nodes_are_held_against_the_revision_that_each_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("inventory/host_vars").mkdir(parents=True)
    Path("inventory/hosts.yml").write_text(FLEET % (tmp_path, tmp_path))
    probe = Path("inventory/host_vars/edge-a.yml")
    for name in ("edge-a", "edge-b"):
        Path(name).mkdir()
    Path(".gitignore").write_text("edge-*/\n.vosctl/\n")
    git("init", "--quiet")

    def says(word: str) -> None:
        probe.write_text(f"files: {{/etc/probe: {{content: {word}}}}}\n")

    says("one")
    git("add", "--all")
    git("commit", "--quiet", "--message=one")
    assert run(["apply", "-l", "edge-a"]) == 0, capsys.readouterr()
    says("two")
    git("commit", "--quiet", "--all", "--message=two")
    capsys.readouterr()
    assert run(["diff", "HEAD", "--nodes", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["nodes"]
    assert [each["subject"] for each in told["edge-a"]["findings"]] == ["file /etc/probe"]
    assert told["edge-b"]["findings"][0]["text"] == "nothing was applied here yet"
    says("three")
    assert run(["apply", "-l", "edge-a"]) == 0
    capsys.readouterr()
    assert run(["diff", "HEAD", "--nodes"]) == 0
    assert "with changes that nobody committed" in capsys.readouterr().out
    assert run(["diff", "HEAD..HEAD", "--nodes"]) == 64
    git("commit", "--quiet", "--all", "--amend", "--message=other")
    git("reflog", "expire", "--expire=now", "--all")
    git("gc", "--quiet", "--prune=now")
    capsys.readouterr()
    assert run(["diff", "HEAD", "--nodes"]) == 64
    assert "edge-a runs " in (err := capsys.readouterr().err)
    assert "git knows no revision" in err
