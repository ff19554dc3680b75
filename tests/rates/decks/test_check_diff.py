"""vosctl rates check and diff on a site whose decks have every fault once, in git."""

from __future__ import annotations

import json
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from vosctl.cli.main import run
from vosctl.rates.changes.traffic import read_calls
from vosctl.rates.files import DeckFileError

VARS = """
firewall: {admin: [198.51.100.0/24]}
gateways:
  shop: {type: mapping, auth: ip, addresses: [192.0.2.20], port: 5060, tier: small, codecs: [PCMA], rate_group: retail}
  orbit: {type: routing, auth: ip, addresses: [192.0.2.30], port: 5060, tier: small, codecs: [PCMA], rate_group: orbit}
  polar: {type: routing, auth: ip, addresses: [192.0.2.31], port: 5060, tier: small, codecs: [PCMA], rate_group: polar, profit: {max_minute_rate: 0.4, lowest: 0, check_rate: true}}
rates:
  calendars:
    office: {sections: {night: [{from: "22:00", until: "06:00"}]}}
  groups:
    retail:
      rows:
        "44": {rate: 0.02}
        "4420": {rate: 0.02}
        "45": {rate: 0.02}
        "46": {rate: 0.02}
        "47": {rate: 0.02, changes: {"2026-12-01": {rate: 0.001}}}
        "48": {rate: 0.02}
        "49": {rate: 0.02}
    unused: {rows: {"99": {rate: 1}}}
  clearing:
    orbit:
      calendar: office
      file: decks/orbit.csv
    polar:
      rows:
        "44": {rate: 0.01}
        "46": {rate: 0.5}
        "49": {rate: 0.01}
      file: decks/polar.csv
"""
ORBIT = """prefix,rate,cycle,section,valid_from,valid_until,blocked
44,0.01,60,,,,
4470,0.03,60,,,,
47,0.01,60,,,,
48,,60,,,,yes
49,0.01,60,,,,
49,0.05,60,night,,,
30,0.01,60,,2026-01-01,2027-06-01,
30,0.02,60,,2027-05-01,,
31,0.01,60,,2026-01-01,2027-03-01,
31,0.02,60,,2027-05-01,,
33,0.01,60,,2025-01-01,2025-03-01,
33,0.02,60,,2025-05-01,,
""" + "".join(f"32{digit},0.0{digit}1,60,,,,\n" for digit in range(10)) + "32,0.01,60,,,,\n"  # fmt: skip


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "inventory/group_vars").mkdir(parents=True)
    (tmp_path / "decks").mkdir()
    (tmp_path / "inventory/hosts.yml").write_text("all: {hosts: {edge-a: {host: 192.0.2.1}}}\n")
    (tmp_path / "inventory/group_vars/all.yml").write_text(VARS)
    (tmp_path / "decks/orbit.csv").write_text(ORBIT)
    (tmp_path / "decks/polar.csv").write_text("prefix,rate\n44,0.011\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795392000")  # 2026-11-23
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    return tmp_path


def git(folder: Path, *words: str) -> None:
    subprocess.run(
        ("git", "-c", "user.name=t", "-c", "user.email=t@example.net", *words), cwd=folder, check=True
    )


def commit(folder: Path) -> None:
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "decks")


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict:
    capsys.readouterr()
    found = run(["rates", *words, "--json"])
    captured = capsys.readouterr()
    assert found == code, captured.err + captured.out
    return json.loads(captured.out)


def lines_of(found: dict) -> dict[str, list[tuple[int, str]]]:
    told: dict[str, list[tuple[int, str]]] = {}
    for problem in found["problems"]:
        told.setdefault(problem["rule"], []).append((problem["line"], problem["message"]))
        assert problem["hint"]
    return told


NOW = ("--at", "2026-11-23T12:00")


def test_every_fault_is_found_once_with_its_line(site: Path, capsys: pytest.CaptureFixture[str]):
    told = lines_of(answer(capsys, "check", *NOW, code=1))
    for rule, lines in {
        "rates-gap": [15, 18], "rates-loss": [17], "rates-loss-next": [13, 19], "rates-no-clearing": [16],
        "rates-max-minute": [28], "rates-redundant": [14], "rates-shadowed": [24], "rates-contradiction": [27],
        "rates-dates-overlap": [8], "rates-dates-gap": [10],
    }.items():  # fmt: skip
        assert [line for line, _ in told.pop(rule)] == lines, rule
    assert not told


def test_what_is_lost_and_when(site: Path, capsys: pytest.CaptureFixture[str]):
    told = lines_of(answer(capsys, "check", *NOW, code=1))
    assert [message for _, message in told["rates-loss"]] == [
        "'retail' sells 47 at 0.001, and orbit takes 0.01 (decks/orbit.csv:4): -0.009 a minute (at 2026-12-01 00:00 UTC)"
    ]
    assert [message.partition("call")[2] for _, message in told["rates-loss-next"]] == [
        "",
        " (at 2026-11-23 22:00 UTC)",
    ]
    later = lines_of(answer(capsys, "check", "--at", "2026-12-02", code=1))
    assert later["rates-loss"][0][1].endswith("-0.009 a minute")


def test_a_sound_site_has_no_findings(site: Path, capsys: pytest.CaptureFixture[str]):
    sound = VARS[: VARS.index("  calendars:")] + (
        '  groups: {retail: {rows: {"44": {rate: 0.02}, "447": {rate: 0.03}}}}\n'
        '  clearing: {orbit: {rows: {"44": {rate: 0.01}, "447": {rate: 0.02}}}, polar: {rows: {"44": {rate: 0.01, cycle: 1}}}}\n'
    )
    (site / "inventory/group_vars/all.yml").write_text(sound)
    commit(site)
    assert answer(capsys, "check", "--strict") == {"ok": True, "problems": []}
    assert [
        problem["rule"] for problem in answer(capsys, "check", "--max-minute-rate", "0.02")["problems"]
    ] == ["rates-max-minute"]
    answer(capsys, "check", "--max-minute-rate", "0.02", "--strict", code=1)


def test_rates_that_jump_since_a_revision(site: Path, capsys: pytest.CaptureFixture[str]):
    text = (site / "decks/orbit.csv").read_text()
    rows = [row for row in text.splitlines() if not row.startswith("32")]
    (site / "decks/orbit.csv").write_text(
        "\n".join(rows).replace("47,0.01,", "47,0.0151,").replace("4470,0.03", "4470,0.0299")
    )
    told = lines_of(answer(capsys, "check", *NOW, code=1))
    assert [message for _, message in told["rates-jump"]] == ["47 goes from 0.01 in HEAD to 0.0151 (+51.0 %)"]
    assert told["rates-shrunk"][0][1].startswith(
        "'orbit' lacks 11 of the 19 prefixes it had in HEAD, 57.9 %: 32, 320, 321"
    )
    calm = lines_of(answer(capsys, "check", *NOW, "--rise", "51", "--shrink", "62", code=1))
    assert not {"rates-jump", "rates-shrunk"} & calm.keys()
    commit(site)
    assert "rates-jump" not in lines_of(answer(capsys, "check", *NOW, code=1))
    assert "rates-jump" in lines_of(answer(capsys, "check", *NOW, "--against", "HEAD~1", code=1))


def test_check_outside_of_git(site: Path, capsys: pytest.CaptureFixture[str]):
    subprocess.run(("rm", "-r", ".git"), cwd=site, check=True)
    assert run(["rates", "check", *NOW]) == 1
    assert "no comparison with earlier decks" in capsys.readouterr().err
    git(site, "init", "-q")
    assert run(["rates", "check", *NOW]) == 1
    assert "no comparison with earlier decks: git knows no revision 'HEAD'" in capsys.readouterr().err
    assert run(["rates", "check", *NOW, "--against", "HEAD"]) == 64


def test_diff_in_money_by_traffic(site: Path, capsys: pytest.CaptureFixture[str]):
    """Worked by hand: 90 s are 2 minutes of 60/60, and 1.5 of 1/1."""
    (site / "old.csv").write_text(
        "prefix,rate,cycle\n44,0.01,60\n45,0.02,60\n46,0.03,60\n47,0.04,60\n48,0.05,60\n"
    )
    (site / "new.csv").write_text(
        "prefix,rate,cycle\n44,0.015,60\n4470,0.02,60\n45,0.02,1\n46,0.01,60\n48,0.05,60\n"
    )
    (site / "calls.csv").write_text(
        "callee,duration_ms,started\n"
        + "".join(f"{call},2026-11-20T10:00:00Z\n" for call in (
            "441,90000", "+4470,90000", "451,90000", "461,90000", "471,90000", "481,60000", "99,5000", "441,0",
        ))
    )  # fmt: skip
    found = answer(capsys, "diff", "old.csv", "new.csv", "--traffic", "calls.csv")["diffs"][0]
    assert found["counts"] == {"up": 1, "down": 1, "new": 1, "gone": 1, "terms": 1}
    moved = {
        each["prefix"]: (each["kind"], each["traffic"]["difference"], each["percent"])
        for each in found["changes"]
    }
    assert {prefix: (kind, Decimal(money)) for prefix, (kind, money, _) in moved.items()} == {
        "44": ("up", Decimal("0.01")),
        "4470": ("new", Decimal("0.02")),  # 2 × 0.02 instead of 2 × 0.01
        "45": ("terms", Decimal("-0.01")),  # 0.03 instead of 0.04
        "46": ("down", Decimal("-0.04")),
        "47": ("gone", Decimal("-0.08")),
    }
    assert [each["prefix"] for each in found["changes"]] == ["47", "46", "4470", "44", "45"]
    assert moved["4470"][2] == "100.0"
    total = found["traffic"]
    assert (total["calls"], Decimal(total["before"]), Decimal(total["after"]), total["unpriced"]) == (
        7, Decimal("0.27"), Decimal("0.17"), 2,
    )  # fmt: skip


def test_diff_of_decks_of_the_site_files_and_revisions(site: Path, capsys: pytest.CaptureFixture[str]):
    (site / "decks/orbit.csv").write_text(ORBIT.replace("47,0.01,", "47,0.02,"))
    found = answer(capsys, "diff", "HEAD:orbit", "orbit", *NOW)["diffs"]
    assert [(each["prefix"], each["kind"], each["percent"]) for each in found[0]["changes"]] == [
        ("47", "up", "100.0")
    ]
    assert found[0]["later"]
    commit(site)
    both = answer(capsys, "diff", "HEAD~1", "HEAD", *NOW)["diffs"]
    assert [each["decks"] for each in both if each["changes"]] == ["HEAD~1:orbit → HEAD:orbit"]
    (site / "next.csv").write_text("Code;Rate\n47;0,03\nx;1\n")
    new = answer(capsys, "diff", "orbit", "next.csv", *NOW)["diffs"][0]
    assert {each["prefix"]: each["kind"] for each in new["changes"]}["47"] == "up"
    assert run(["rates", "diff", "orbit", "nothing"]) in {1, 64}
    assert run(["rates", "diff", "old", "new"]) == 64


def test_calls_that_cannot_be_read(site: Path, capsys: pytest.CaptureFixture[str]):
    (site / "calls.csv").write_text("callee,duration_ms,started\n44,1000,2026-11-20\n44x,1000,2026-11-20\n")
    assert run(["rates", "diff", "orbit", "orbit", "--traffic", "calls.csv"]) == 0
    captured = capsys.readouterr()
    assert "calls.csv:3" in captured.err
    assert "1 calls, 0 minutes" in captured.out
    with pytest.raises(DeckFileError, match=r"calls.csv:3: no call can be read here: '44x' is no number"):
        list(read_calls(site / "calls.csv"))
    (site / "calls.csv").write_text("a,b\n")
    with pytest.raises(DeckFileError, match="no column callee"):
        list(read_calls(site / "calls.csv"))


def test_calls_that_say_whose_they_are(site: Path, capsys: pytest.CaptureFixture[str]):
    (site / "calls.csv").write_text(
        "started,callee,duration,vendor_deck,vendor_gateway\n2026-11-20,441,60,orbit,\n2026-11-20,441,60,,polar\n2026-11-20,441,60,,\n"
    )
    found = answer(capsys, "diff", "orbit", "orbit", "--traffic", "calls.csv", *NOW)["diffs"][0]["traffic"]
    assert (found["calls"], found["others"], Decimal(found["before"])) == (2, 1, Decimal("0.02"))


def test_check_tells_of_rows_that_were_refused(site: Path, capsys: pytest.CaptureFixture[str]):
    (site / "decks/orbit.csv").write_text(ORBIT + "020,0.01,60,,,,\n")
    told = lines_of(answer(capsys, "check", *NOW, code=1))
    assert "line 25: prefix '020' begins with 0" in told["deck-rows-refused"][0][1]
