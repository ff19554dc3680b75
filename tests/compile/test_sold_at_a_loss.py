"""What validate says of a site that sells at a loss."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from pathlib import Path

from msgspec.structs import replace
from site_samples import deck, guard, node, rates, site, vendor

import vosctl.compile.losses
from vosctl.cli.main import run
from vosctl.compile.losses import sold_at_a_loss

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 23, tzinfo=timezone.utc)


def edge(name, *gateways, **prices):
    return node(name, "10.231.0.2", gateways, rates=replace(rates(), groups={"gold": deck("gold", **prices)}))


def messages(*nodes):
    return [problem.message for problem in sold_at_a_loss(site(*nodes), NOW).warnings]


def test_nothing_is_said_of_what_earns():
    assert messages(edge("edge-a", vendor("far"), p44="0.02")) == []


def test_one_warning_for_a_group_and_a_vendor_with_the_worst_row_first():
    (said,) = messages(
        edge("edge-a", vendor("near", rate_group="dear"), p44="0.017", p4477="0.005", p1="0.9")
    )
    assert said.startswith(
        "'gold' sells 2 prefixes below what near takes, tried first: 4477 loses 0.035 a minute ("
    )
    assert "; 44 loses 0.001 a minute (" in said and said.endswith(") (on edge-a)")


def test_a_guard_that_locks_the_vendor_is_enough():
    assert messages(edge("edge-a", vendor("near", rate_group="dear", guard=guard("0")), p44="0.017")) == []


def test_more_rows_than_can_be_looked_through_are_said(monkeypatch):
    monkeypatch.setattr(vosctl.compile.losses, "MOST_ROWS", 2)
    (said,) = messages(edge("edge-a", vendor("near", rate_group="dear"), p44="0.001"))
    assert said == "the margins of 'gold' were not looked at: there are too many rows (on edge-a)"


def test_validate_finds_the_example_s_losses_with_their_places(capsys):
    assert run(["validate", str(ROOT / "playbooks/site.yml"), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["problems"]
    assert (found["rule"], found["severity"], found["path"]) == (
        "negative-margin",
        "warning",
        "rates.groups.retail",
    )
    worst = re.search(
        r": ([0-9]+) [A-Z][^(]* loses (0\.[0-9]+) a minute \((.*?polar\.csv):([0-9]+)\)", found["message"]
    )
    assert worst, found["message"]
    sold = Path(found["file"]).read_text(encoding="utf-8").splitlines()[found["line"] - 1].split(",")
    bought = Path(worst[3]).read_text(encoding="utf-8").splitlines()[int(worst[4]) - 1].split(",")
    assert sold[0] == bought[1] == worst[1]
    assert float(bought[2]) - float(sold[2]) > 0.005
