"""The packet filter at work: what it drops on top, then what it lets in, who is behind it, and how full tables are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vosctl.plan.printable import printable

Json = Mapping[str, Any]
Place = Callable[[str, str], str]

# Percent of a table in use.
FAIR, BAD = 60.0, 80.0
# These only take a sample of what the rule behind them drops.
_SAMPLES = ("NFLOG", "LOG")
# A table that counts all sources together has one of them.
_EVERYBODY = {"0.0.0.0": "everybody", "::": "everybody"}  # noqa: S104  nothing is bound
_UNITS = ("", "k", "M", "G", "T")


class Choice(Struct, frozen=True):
    """Which rules are shown: ``every`` also those that no packet met; ``top`` how many at most (0: all)."""

    every: bool = False
    top: int = 0


def merged(rules: Sequence[Json]) -> list[Json]:
    """Return the rules with those of one purpose in one chain (a word in two spellings) counted as one."""
    found: dict[tuple[object, ...], dict[str, Any]] = {}
    for rule in rules:
        key = tuple(rule[name] for name in ("family", "table", "chain", "path", "purpose", "target"))
        known = found.setdefault(key, {**rule, "packets": 0, "bytes": 0, "rate": None})
        known["packets"] += rule["packets"]
        known["bytes"] += rule["bytes"]
        if rule.get("rate") is not None:
            known["rate"] = (known["rate"] or 0.0) + rule["rate"]
    return list(found.values())


def ordered(rules: Sequence[Json]) -> list[Json]:
    """Return the rules that drop first, the busiest now on top, then those that counted most."""

    def weight(rule: Json) -> tuple[object, ...]:
        return rule["target"] != "DROP", -(rule.get("rate") or 0.0), -rule["packets"]

    return sorted(rules, key=weight)


def screen(nodes: Mapping[str, Json], choice: Choice, place: Place) -> Group:
    """Return all that is known of the nodes' packet filters; ``place`` gives ``file:line`` of a node's path."""
    parts: list[RenderableType] = []
    for node, found in nodes.items():
        if parts:
            parts.append(Text())
        parts.extend(_node(node, found, choice, place))
    return Group(*parts)


def _node(node: str, found: Json, choice: Choice, place: Place) -> Iterator[RenderableType]:
    yield Text.assemble((node, "bold"), f"  {_headline(found)}")
    yield _fullness(found)
    rules = merged(found.get("rules", []))
    shown = [
        rule
        for rule in ordered(rules)
        if choice.every or (rule["packets"] and rule["target"] not in _SAMPLES)
    ]
    kept = shown[: choice.top] if choice.top else shown
    yield _rules(node, kept, place)
    silent = sum(not rule["packets"] for rule in rules) if not choice.every else 0
    left = [f"{len(shown) - len(kept)} more rules"] if len(shown) > len(kept) else []
    left += [f"{silent} rules that no packet met (--all shows them)"] if silent else []
    if left:
        yield Text(", ".join(left), style="dim")
    yield from _offenders(found)


def _headline(found: Json) -> str:
    drops = [rule for rule in found.get("rules", []) if rule["target"] == "DROP"]
    words = f"{_count(sum(rule['packets'] for rule in drops))} packets dropped"
    if found.get("seconds") is not None:
        rate = sum(rule.get("rate") or 0.0 for rule in drops)
        words += f", {_rate(rate)} a second over the last {max(1, round(found['seconds']))} s"
    return words


def _fullness(found: Json) -> Text:
    line = Text("  ")
    tracked = found.get("conntrack")
    if tracked:
        line.append("conntrack ", style="dim")
        line.append(_share(tracked["count"], tracked["max"]), style=_style(tracked["count"], tracked["max"]))
    for item in found.get("sets", []):
        if item["members"]:
            line.append(f"  {item['name']} ", style="dim")
            line.append(_share(item["members"], item["room"]), style=_style(item["members"], item["room"]))
    return line


def _rules(node: str, rules: Sequence[Json], place: Place) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold")
    made.add_column("verdict", no_wrap=True)
    for heading in ("packets", "a second", "bytes"):
        made.add_column(heading, no_wrap=True, justify="right")
    made.add_column("IP", no_wrap=True)
    made.add_column("chain", no_wrap=True)
    made.add_column("why", overflow="fold")
    made.add_column("written in", overflow="fold")
    for rule in rules:
        made.add_row(*_cells(node, rule, place))
    return made


def _cells(node: str, rule: Json, place: Place) -> Iterator[Text]:
    drops = rule["target"] == "DROP"
    busy = drops and (rule.get("rate") or 0.0) > 0
    style = "bold red" if busy else "red" if drops else "green" if rule["target"] == "ACCEPT" else "dim"
    yield _text(rule["target"], style)
    yield _text(_count(rule["packets"]))
    yield _text("-" if rule.get("rate") is None else _rate(rule["rate"]), "bold red" if busy else "")
    yield _text(_count(rule["bytes"]))
    yield _text(rule["family"])
    yield _text(rule["chain"], "dim")
    yield _text(rule["purpose"] or "-")
    yield _text(place(node, rule["path"]) if rule["path"] else "-", "dim")


def _offenders(found: Json) -> Iterator[RenderableType]:
    banned = found.get("offenders", [])
    if banned:
        made = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("offender", "set", "packets", "for another", "why"):
            made.add_column(heading, overflow="fold", justify="right" if heading == "packets" else "left")
        for entry in banned:
            left = "ever" if entry["left"] is None else f"{entry['left']} s"
            cells = (
                entry["address"],
                entry["set"],
                _count(entry["packets"] or 0),
                left,
                entry["comment"] or "-",
            )
            made.add_row(*map(_text, cells))
        yield made
    short = [
        (least["left"], _EVERYBODY.get(least["address"], least["address"]), table["name"])
        for table in found.get("limits", [])
        for least in table["least"]
        if least["left"] < 1
    ]
    if short:
        made = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("budget left", "source", "table"):
            made.add_column(heading, overflow="fold", justify="right" if heading == "budget left" else "left")
        for left, address, name in sorted(short)[:10]:
            made.add_row(
                _text(f"{100 * left:.0f} %", "bold red" if not left else ""),
                _text(address),
                _text(name, "dim"),
            )
        yield made


def _style(value: int, most: int) -> str:
    percent = 100.0 * value / most if most else 0.0
    return "bold red" if percent >= BAD else "yellow" if percent >= FAIR else "green"


def _share(value: int, most: int) -> str:
    return f"{value:,} of {most:,}" + (f" ({100 * value / most:.0f} %)" if most else "")


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or not value else f"{value:.1f}"


def _count(value: float) -> str:
    """Return a count in at most four digits and a unit, as people read them."""
    for unit in _UNITS:
        if value < 10_000 or unit == _UNITS[-1]:
            return f"{value:,.0f}{unit}"
        value /= 1000
    raise AssertionError


def _text(value: object, style: str = "") -> Text:
    return Text(printable(str(value)), style=style)
