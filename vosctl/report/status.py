"""The fleet in one table, what needs a look below it, and one node's facts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vosctl.plan.printable import printable
from vosctl.push.result import HostResult, Status
from vosctl.report.rollout import when

# A terminal narrower than this has no room for the time of the last apply.
ROOMY = 100
NAMED = 3
# What a node is called by, the worst that holds of it first.
STATES = {
    "unreachable": "bold red",
    "failed": "bold red",
    "waiting": "bold yellow",
    "busy": "yellow",
    "relay down": "bold red",
    "alarm": "bold red",
    "drift": "yellow",
    "draining": "cyan",
    "drained": "cyan",
    "behind": "yellow",
    "new": "cyan",
    "ok": "green",
}
Report = Mapping[str, Any]


def state_of(result: HostResult) -> str:
    """Return the word for a node: one of ``STATES``, the first that holds."""
    if result.status is Status.UNREACHABLE:
        return "unreachable"
    if result.error is not None:
        return "failed"
    return next(_states(result.report), "ok")


def _states(report: Report) -> Iterator[str]:
    relay, drained = report.get("relay") or {}, (report.get("relay") or {}).get("draining")
    found = {
        "waiting": report.get("pending"),
        "busy": report.get("lock"),
        "relay down": (relay.get("media") or {"up": True}).get("up") is False or _relay_gone(report),
        "alarm": alarms(report),
        "drift": report.get("drift"),
        "draining": drained and relay.get("calls"),
        "drained": drained,
        "behind": report.get("changes") and (report.get("applied") or {}).get("id"),
        "new": not (report.get("applied") or {}).get("id"),
    }
    return (word for word, holds in found.items() if holds)


def _relay_gone(report: Report) -> bool:
    files = (report.get("applied") or {}).get("files") or ()
    return "/etc/vosctl/relay.json" in files and not report.get("relay")


def alarms(report: Report) -> list[str]:
    """Return what is above its threshold now, as ``acme loss`` for the relay's peers and ``firewall drops``."""
    of_relay = [
        f"{each['peer']} {each['figure']}" for each in (report.get("relay") or {}).get("alerts") or ()
    ]
    return [*of_relay, *(f"firewall {figure}" for figure in report.get("firewall_alerts") or ())]


def print_status(console: Console, results: Mapping[str, HostResult]) -> None:
    """Write a row a node, sorted by name: state, revision, drift, relay, calls, alarms; below, what needs a look."""
    roomy = console.width >= ROOMY
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("node", "state", "revision", *(["applied"] if roomy else []), "drift", "relay"):
        table.add_column(heading, no_wrap=heading in ("state", "drift"), overflow="fold")
    for heading in ("calls", "alarms"):
        table.add_column(heading, justify="right")
    ordered = sorted(results.items(), key=lambda item: _natural(item[0]))
    for name, result in ordered:
        cells = _row(result)
        table.add_row(Text(name), *(cells if roomy else [*cells[:2], *cells[3:]]))
    console.print(table)
    notes = [(name, note) for name, result in ordered for note in _notes(result)]
    if notes:
        console.print()
        for name, (text, style) in notes:
            line = Text(f"{name}: ", style="bold")
            line.append(printable(text), style=f"not bold {style}")
            console.print(line)
    console.print()
    console.print(_summary(results))


def summary_of(results: Mapping[str, HostResult]) -> dict[str, int]:
    """Return how many nodes are in which state, the worst first."""
    found = [state_of(result) for result in results.values()]
    return {state: found.count(state) for state in STATES if state in found}


def _summary(results: Mapping[str, HostResult]) -> Text:
    text = Text(f"{len(results)} node{'' if len(results) == 1 else 's'}: ")
    for index, (state, count) in enumerate(summary_of(results).items()):
        text.append(", " if index else "").append(f"{count} {state}", style=STATES[state])
    calls = sum(int((r.report.get("relay") or {}).get("calls") or 0) for r in results.values())
    return text.append(f" · {calls} call{'' if calls == 1 else 's'}")


def _row(result: HostResult) -> list[Text]:
    report = result.report
    if result.error is not None:
        state = state_of(result)
        return [Text(state, style=STATES[state]), *(Text("-", style="dim") for _ in range(6))]
    applied, relay = report.get("applied") or {}, report.get("relay") or {}
    state, loud = state_of(result), alarms(report)
    return [
        Text(state, style=STATES[state]),
        Text(_short(applied.get("revision"))),
        Text(when(applied.get("time")), style="dim"),
        _drift(report),
        Text(printable(str(relay.get("version", "-"))) if relay else "-"),
        Text(str(relay.get("calls", "-"))),
        Text(str(len(loud)) if relay or loud else "-", style="bold red" if loud else ""),
    ]


def _short(revision: str | None) -> str:
    """Return ``4f0c2d9e`` or ``4f0c2d9e-dirty`` for a longer revision."""
    head, dash, rest = (revision or "-").partition("-dirty")
    return printable(f"{head[:8]}{dash}{rest}") if head else "-"


def _drift(report: Report) -> Text:
    if report.get("drift") is None:
        return Text("?" if "drift_error" in report else "-", style="dim")
    count = len(report["drift"])
    return Text(f"{count} moved", style="yellow") if count else Text("none", style="green")


def _notes(result: HostResult) -> Iterator[tuple[str, str]]:
    """Yield what a person should know of a node, with its style."""
    report, relay = result.report, result.report.get("relay") or {}
    if result.error is not None:
        bare = result.error.message.removeprefix(f"{result.node}: ")
        yield f"{bare}{f' ({result.error.hint})' if result.error.hint else ''}", "red"
        return
    if pending := report.get("pending"):
        until = f" until {when(pending['deadline'])}" if pending.get("deadline") else ""
        yield f"an apply by {pending.get('holder', '?')} waits for its confirmation{until}", "yellow"
    if (lock := report.get("lock") or {}).get("holder"):
        yield (
            f"{lock['holder']} is at work since {when(lock.get('since'))} ({lock.get('what', '?')})",
            "yellow",
        )
    if relay.get("draining"):
        since = f" since {when(relay['draining'].get('since'))}" if relay["draining"].get("since") else ""
        yield f"{'draining' if relay.get('calls') else 'drained'}{since}, takes no new calls", "cyan"
    yield from _troubles(report)


def _troubles(report: Report) -> Iterator[tuple[str, str]]:
    relay = report.get("relay") or {}
    if _relay_gone(report):
        yield "the relay does not answer", "red"
    media = relay.get("media") or {}
    if media.get("missing"):
        yield f"no data plane: {media['missing']}", "red"
    elif media.get("up") is False:
        yield "the relay's media part is down", "red"
    if loud := alarms(report):
        yield f"above the threshold: {_some(loud)}", "red"
    if report.get("drift"):
        yield f"moved: {_some(report['drift'])} (vosctl drift says since when)", "yellow"
    if report.get("changes"):
        yield f"{report['changes']} more to change: the site is ahead (vosctl plan)", "yellow"
    if report.get("drift_error"):
        yield f"drift is not known: {report['drift_error']}", "yellow"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that puts node-2 before node-10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def print_facts(console: Console, results: Mapping[str, HostResult]) -> None:
    """Write each node's facts, a line a fact."""
    for name, result in results.items():
        console.print(name, style="bold")
        if result.error is not None:
            console.print(f"    {result.error}")
        for key, value in sorted(result.report.items()):
            console.print(f"    {key}: {_flat(value)}")


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_flat(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return " ".join(filter(None, map(_flat, value)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
