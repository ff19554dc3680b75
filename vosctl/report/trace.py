"""A packet's way through a node's filter, rule by rule: what matched, the YAML line behind it, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from vosctl.firewall.simulate.packet import Packet
from vosctl.firewall.simulate.walk import Step
from vosctl.firewall.trace import Trace
from vosctl.plan.printable import printable
from vosctl.site.probes import Expectation

Place = Callable[[str], str]
"""Gives ``file:line`` of a rule's path."""

_SIGNS = {True: ("+", "green"), False: ("-", "dim"), None: ("?", "yellow")}
_STYLES = {
    Expectation.ACCEPT: "bold green",
    Expectation.DROP: "bold red",
    Expectation.RETURN: "bold yellow",
    None: "bold yellow",
}
_WORDS = {
    Expectation.ACCEPT: "accept",
    Expectation.DROP: "drop",
    Expectation.RETURN: "return: the host's own rules decide",
    None: "unknown",
}
_QUIET = 3  # so many rules of one purpose that do not match are one line


def screen(trace: Trace, place: Place, *, owner: str = "", every: bool = False) -> Group:
    """Return the packet, a line for each rule it met, and the verdict.

    ``owner`` says whose the source address is. Neighbouring rules of one path that do not match
    share a line unless ``every``.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "chain", "rule", "then", "made by"):
        table.add_column(heading, overflow="fold")
    for cells, style in _rows(trace.journey.steps, place, every=every):
        table.add_row(*cells, style=style)
    return Group(_headline(trace.packet, owner), table, _verdict(trace, place))


def as_json(trace: Trace, place: Place) -> dict[str, Any]:
    """Return the trace as JSON-ready data: ``verdict``, ``decided_by`` and every rule met."""
    return {
        "packet": described(trace.packet),
        "verdict": trace.verdict.value if trace.verdict else "unknown",
        "unknown": trace.unknown or None,
        "decided_by": _step_json(trace.cause, place) if trace.cause else None,
        "rules": [_step_json(step, place) for step in trace.journey.steps],
    }


def described(packet: Packet) -> str:
    """Return ``UDP 198.51.100.9 -> 10.231.0.2:5060, new``."""
    names = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6"}
    kind = "" if packet.icmp is None else f", type {packet.icmp[0]}"
    source, destination = (_end(net, port) for net, port in (
        (packet.source, packet.sport), (packet.destination, packet.dport)))  # fmt: skip
    return (
        f"{names[packet.protocol]} {source} -> {destination}{kind}, {(packet.state or 'any state').lower()}"
    )


def _end(network: Any, port: int | None) -> str:
    text = str(network.network_address if network.num_addresses == 1 else network)
    if port is None:
        return text
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


def _headline(packet: Packet, owner: str) -> Text:
    text = Text(described(packet), style="bold")
    if owner:
        text.append(f"  ({owner})", style="not bold")
    if packet.payload:
        first = packet.payload.split(b"\r\n")[0].decode("utf-8", "replace")
        text.append(f"\n{len(packet.payload)} bytes: {printable(first[:100])}", style="dim not bold")
    return text


def _rows(
    steps: Sequence[Step], place: Place, *, every: bool
) -> Iterator[tuple[tuple[str, str, str, str, str], str]]:
    for (chain, path, holds, depth), group in groupby(steps, key=_kind):
        alike = list(group)
        sign, style = _SIGNS[holds]
        if holds is False and len(alike) >= _QUIET and not every:
            yield (sign, f"{'  ' * depth}{chain}", f"{len(alike)} rules of {path}", "", place(path)), style
            continue
        for step in alike:
            purpose = step.rule.purpose
            if holds is None and step.unmet is not None:
                purpose += f" (not known: {step.unmet.text})"
            then = step.rule.target.name if holds is not False else ""
            cells = (sign, f"{'  ' * depth}{chain}", printable(purpose), then, place(path))
            yield cells, style


def _kind(step: Step) -> tuple[str, str, bool | None, int]:
    return step.rule.chain, step.rule.path, step.holds, step.depth


def _verdict(trace: Trace, place: Place) -> Text:
    text = Text.assemble((_WORDS[trace.verdict], _STYLES[trace.verdict]))
    if trace.unknown:
        text.append(f": {trace.unknown}")
    if trace.cause is not None:
        text.append(f": {trace.cause.rule.purpose} ({place(trace.cause.rule.path)})")
    if trace.over is not None and trace.verdict is Expectation.DROP:
        over = trace.over
        text.append(
            f"\nthe first {over.burst} pass, then {over.rate:g} a second; this is one of the others",
            style="dim",
        )
    return text


def _step_json(step: Step, place: Place) -> dict[str, Any]:
    rule = step.rule
    return {
        "table": rule.table,
        "chain": rule.chain,
        "number": rule.number,
        "path": rule.path,
        "purpose": rule.purpose,
        "where": place(rule.path),
        "matched": step.holds,
        "target": rule.target.name,
        "unmet": step.unmet.text if step.unmet else None,
        "rule": rule.text,
    }
