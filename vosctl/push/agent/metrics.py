"""The packet filter's counters as Prometheus text: a label for every rule, never one for an address."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]

_PREFIX = "vosctl_firewall_"
# Name, type, help; in the order of the page.
_METRICS = (
    ("packets_total", "counter", "Packets that a rule met."),
    ("bytes_total", "counter", "Bytes of the packets that a rule met."),
    ("set_members", "gauge", "Members of an own ipset."),
    ("set_limit", "gauge", "Members that an own ipset has room for."),
    ("budget_sources", "gauge", "Sources whose budget is being counted."),
    ("budget_sources_over", "gauge", "Sources that have used up their budget."),
    ("conntrack_entries", "gauge", "Tracked connections."),
    ("conntrack_limit", "gauge", "Connections that can be tracked."),
    ("alert", "gauge", "1 while a figure is over its threshold."),
)


def samples(counted: dict[str, Any], *, node: str = "", alerts: Iterable[tuple[str, bool]] = ()) -> Samples:
    """Return the samples of one look, as ``counters.read`` gives it; with ``node`` each carries its name."""
    found: Samples = {}
    base = {"node": node} if node else {}
    for rule in counted["rules"]:
        labels = {
            **base,
            "family": f"ipv{rule['family']}",
            "chain": rule["chain"],
            "rule": rule["path"],
            "purpose": rule["purpose"],
            "verdict": rule["target"].lower(),
        }
        _add(found, "packets_total", labels, rule["packets"])
        _add(found, "bytes_total", labels, rule["bytes"])
    for item in counted["sets"]:
        labels = {**base, "set": item["name"]}
        _add(found, "set_members", labels, item["members"])
        _add(found, "set_limit", labels, item["room"])
    for table in counted["limits"]:
        labels = {**base, "family": f"ipv{table['family']}", "table": table["name"]}
        _add(found, "budget_sources", labels, table["sources"])
        _add(found, "budget_sources_over", labels, table["over"])
    if counted["conntrack"]:
        _add(found, "conntrack_entries", base, counted["conntrack"]["count"])
        _add(found, "conntrack_limit", base, counted["conntrack"]["max"])
    for figure, raised in alerts:
        _add(found, "alert", {**base, "figure": figure}, raised)
    return found


def page(looks: Iterable[Samples]) -> str:
    """Return the samples of all looks as one page, each metric with its help and type (text format 0.0.4)."""
    together: Samples = {}
    for look in looks:
        together.update(look)
    lines = []
    for name, kind, told in _METRICS:
        mine = sorted((labels, value) for (metric, labels), value in together.items() if metric == name)
        if mine:
            lines += [f"# HELP {_PREFIX}{name} {told}", f"# TYPE {_PREFIX}{name} {kind}"]
            lines += [f"{_PREFIX}{name}{_labels(labels)} {value:.0f}" for labels, value in mine]
    return "".join(line + "\n" for line in lines)


def _add(found: Samples, name: str, labels: dict[str, str], value: float) -> None:
    # Two rules of one purpose (a word in two spellings) are one series.
    key = (name, tuple(labels.items()))
    found[key] = found.get(key, 0) + value


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    words = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{words}}}" if words else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
