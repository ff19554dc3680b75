"""What the packet filter has done so far: counters of own rules, set sizes, offenders, conntrack use."""

from __future__ import annotations

import re
import time

from vosctl.push.agent import bans, command, durable, hashlimit, iptables, looks
from vosctl.push.agent.errors import AgentError
from vosctl.push.agent.wanted import CHAIN_PREFIX, SET_PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vosctl.push.agent.node import Node

TOP = 10
_RULE = re.compile(r"\[(\d+):(\d+)\] -A (" + CHAIN_PREFIX + r"\S+) ?(.*)")
_COMMENT = re.compile(r'--comment (?:"([^"]*)"|(\S+))')
_TARGET = re.compile(r"(?:^| )-[jg] (\S+)")
# Chains that report a packet now and then and drop it.
_DROPS = CHAIN_PREFIX + "DROP-"
_CONNTRACK = "/proc/sys/net/netfilter/nf_conntrack_"


def read(node: Node, *, memory: str = "counters") -> dict[str, Any]:
    """Return counters of own rules with packets a second since the last look, sets, offenders and conntrack.

    ``memory`` names what the last look is remembered as, None of them outliving a reboot. Raises
    AgentError where the kernel's rules cannot be seen.
    """
    if not node.is_machine:
        raise AgentError("unsupported", "a directory that stands for a node has no packet filter")
    now = time.time()
    found = rules(looks.look().backend)
    seconds = _rates(node, memory, now, found)
    tables = hashlimit.tables()
    return {
        "time": round(now, 3),
        "seconds": seconds,
        "rules": found,
        "sets": sizes(),
        "limits": [table.record(TOP) for table in tables],
        "offenders": _offenders(),
        "conntrack": conntrack(),
    }


def rules(backend: str) -> list[dict[str, Any]]:
    """Return each rule of own chains, both families, with what it counted; raises AgentError."""
    found: list[dict[str, Any]] = []
    for family in iptables.PROGRAMS:
        name = iptables.program(backend, family, "save")
        result = command.run((name, "-c"), seconds=60)
        if result.code:
            raise AgentError("unsupported", f"{name} -c: {result.reason}")
        found.extend(parse(result.out, family))
    return found


def parse(text: str, family: int) -> list[dict[str, Any]]:
    """Return the rules of own chains in the output of ``iptables-save -c``, numbered within their chains."""
    found: list[dict[str, Any]] = []
    table = ""
    numbers: dict[tuple[str, str], int] = {}
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        match = _RULE.match(line)
        if match is None:
            continue
        packets, size, chain, rule = match.groups()
        number = numbers[table, chain] = numbers.get((table, chain), 0) + 1
        if chain.startswith(_DROPS):
            continue  # the rule that led there counts
        path, purpose = origin(rule)
        target = ["DROP" if name.startswith(_DROPS) else name for name in _TARGET.findall(rule)]
        found.append(
            {
                "family": family,
                "table": table,
                "chain": chain,
                "number": number,
                "path": path,
                "purpose": purpose,
                "target": target[-1] if target else "",
                "packets": int(packets),
                "bytes": int(size),
            }
        )
    return found


def origin(rule: str) -> tuple[str, str]:
    """Return path and purpose from a rule's comment ``path: purpose``, "" where there is none."""
    comment = _COMMENT.search(rule)
    if comment is None:
        return "", ""
    path, colon, purpose = (comment.group(1) or comment.group(2) or "").partition(": ")
    return (path, purpose) if colon else ("", path)


def _rates(node: Node, memory: str, now: float, found: list[dict[str, Any]]) -> float | None:
    """Add ``rate`` to each rule, packets a second; return the seconds since the last look, None at the first."""
    path = node.run(f"{memory}.json")
    before = durable.read_json(path)
    old = before if isinstance(before, dict) else {}
    counted = old.get("packets")
    counted = counted if isinstance(counted, dict) else {}
    seconds = now - float(old.get("time") or 0.0) if old else None
    packets = {}
    for rule in found:
        key = f"{rule['family']} {rule['table']} {rule['chain']} {rule['number']} {rule['path']}: {rule['purpose']}"
        packets[key] = rule["packets"]
        # Loading rules makes them count from nothing again.
        last = counted.get(key, 0)
        more = rule["packets"] - last if rule["packets"] >= last else rule["packets"]
        rule["rate"] = round(more / seconds, 3) if seconds and seconds > 0 else None
    durable.write_json(path, {"time": now, "packets": packets})
    return round(seconds, 3) if seconds is not None else None


def sizes() -> list[dict[str, Any]]:
    """Return name, family, type, members and room of each own set, [] where ipset is not installed."""
    if command.find("ipset") is None:
        return []
    result = command.run(("ipset", "list", "-t"), seconds=60)
    if result.code:
        raise AgentError("unsupported", f"ipset list: {result.reason}")
    return parse_sizes(result.out)


def parse_sizes(text: str) -> list[dict[str, Any]]:
    """Return the own sets in the output of ``ipset list -t``, sorted by name."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in block.splitlines())
        name, header = fields.get("Name", ""), fields.get("Header", "").split()
        if not name.startswith(SET_PREFIX):
            continue
        words = dict(zip(header, header[1:]))  # noqa: B905, RUF007  strict and pairwise came with Python 3.10
        found.append(
            {
                "name": name,
                "type": fields.get("Type", ""),
                "family": {"inet": 4, "inet6": 6}.get(words.get("family", "")),
                "members": int(fields.get("Number of entries") or 0),
                "room": int(words.get("maxelem", 0)),
                "timeout": int(words["timeout"]) if "timeout" in words else None,
            }
        )
    return sorted(found, key=lambda item: str(item["name"]))


def _offenders() -> list[dict[str, Any]]:
    """Return the members of the timed sets that sent the most packets since they got there."""
    found = [entry for entry in bans.entries() if entry["packets"] is not None]
    found.sort(key=lambda entry: (-entry["packets"], entry["address"]))
    return found[:TOP]


def conntrack() -> dict[str, int] | None:
    """Return how many connections are tracked and how many may be, None without connection tracking."""
    try:
        values = []
        for name in ("count", "max"):
            with open(_CONNTRACK + name, encoding="ascii") as stream:
                values.append(int(stream.read()))
    except (OSError, ValueError):
        return None
    return {"count": values[0], "max": values[1]}
