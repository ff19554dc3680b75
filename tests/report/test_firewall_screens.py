"""The screens of counters and bans: order, totals, colours, nothing of a node's text that could move the cursor."""

from __future__ import annotations

from rich.console import Console

from vosctl.report import bans
from vosctl.report.counters import Choice, merged, ordered, screen


def rule(purpose, packets, *, target="DROP", rate=None, chain="VOS-INPUT", family=4):
    return {
        "family": family, "table": "filter", "chain": chain, "number": 1, "path": "firewall", "purpose": purpose, "target": target,
        "packets": packets, "bytes": packets * 100, "rate": rate,
    }  # fmt: skip


def counted(*rules, **fields):
    base = {"seconds": 10.0, "sets": [], "limits": [], "offenders": [], "conntrack": None}
    return {**base, "rules": list(rules), **fields}


def shown(found, choice=None, *, colour=False):
    console = Console(
        width=160,
        markup=False,
        highlight=False,
        force_terminal=colour,
        color_system="standard" if colour else None,
    )
    with console.capture() as capture:
        console.print(screen({"edge": found}, choice or Choice(), lambda _, path: f"all.yml:{len(path)}"))
    return capture.get()


def test_what_drops_now_is_on_top_then_what_dropped_most_then_the_rest():
    rules = [
        rule("let in", 900, target="ACCEPT", rate=90),
        rule("old", 50, rate=0),
        rule("busy", 7, rate=3),
        rule("older", 60),
    ]
    assert [found["purpose"] for found in ordered(rules)] == ["busy", "older", "old", "let in"]


def test_rules_of_one_purpose_count_together_and_samples_stay_out():
    rules = [
        rule("word", 3, rate=1),
        rule("word", 4, rate=2),
        rule("word", 7, target="NFLOG"),
        rule("word", 1, family=6),
    ]
    assert [(r["family"], r["target"], r["packets"], r["rate"]) for r in merged(rules)] == [
        (4, "DROP", 7, 3), (4, "NFLOG", 7, None), (6, "DROP", 1, None),
    ]  # fmt: skip
    text = shown(counted(*rules))
    assert "NFLOG" not in text
    assert "NFLOG" in shown(counted(*rules), Choice(every=True))
    assert "8 packets dropped, 3.0 a second over the last 10 s" in text
    assert "all.yml:8" in text


def test_silent_rules_and_those_below_the_top_are_counted():
    text = shown(counted(rule("a", 5), rule("b", 4), rule("c", 0)), Choice(top=1))
    assert "1 more rules, 1 rules that no packet met (--all shows them)" in text
    assert " b " not in text


def test_tables_that_fill_up_change_colour():
    for count, colour in ((59, "32"), (60, "33"), (80, "1;31")):
        text = shown(counted(conntrack={"count": count, "max": 100}), colour=True)
        assert f"\x1b[{colour}m{count} of 100 ({count} %)" in text


def test_offenders_and_used_up_budgets_are_named():
    offender = {
        "address": "203.0.113.9",
        "set": "vos-ban4",
        "packets": 12345,
        "left": 30,
        "comment": "me: \x1b[2Jwhy",
    }
    least = [
        {"address": "198.51.100.7", "left": 0.0},
        {"address": "198.51.100.8", "left": 1.0},
        {"address": "::", "left": 0.5},
    ]
    text = shown(
        counted(
            offenders=[offender],
            limits=[{"name": "vos-inv", "family": 4, "sources": 2, "over": 1, "least": least}],
        )
    )
    assert "203.0.113.9" in text
    assert "12k" in text
    assert "\x1b" not in text
    assert "0 %  198.51.100.7" in text
    assert "198.51.100.8" not in text
    assert "50 %  everybody" in text


def ban(address, **fields):
    base = {
        "by": "me@desk",
        "reason": "r",
        "since": 1_700_000_000,
        "until": None,
        "source": "person",
        "in_force": True,
        "packets": 5,
    }
    return {"address": address, **base, **fields}


def test_people_come_before_rules_and_what_is_not_in_force_stands_out():
    found = {
        "edge": [
            ban("192.0.2.9", source="rule", by="", since=None),
            ban("192.0.2.1"),
            ban("192.0.2.2", in_force=False, packets=None),
        ]
    }
    console = Console(width=160, markup=False, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(bans.table(found))
    rows = capture.get().splitlines()[1:]
    assert [row.split()[1] for row in rows] == ["192.0.2.1", "192.0.2.2", "192.0.2.9"]
    assert "2023-11-14 22:13:20Z" in rows[0]
    assert "taken back" in rows[0]
    assert "NOT IN FORCE" in rows[1]
    assert "a rule" in rows[2]
    assert bans.summary(found) == "3 bans, 2 by people; 1 not in force: vosctl apply brings them back"
