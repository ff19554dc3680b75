"""Whether the compiled packet filter lets the controller's own SSH connection in.

Walks the compiled restore input for the segments of a new TCP connection: the first (NEW) and all
later ones (ESTABLISHED), which rules may treat differently. A match that is not
modelled here may or may not hold, so both ways are followed: the answer is "passes" only where no
way leads to a drop. Dropping chains that belong to others cannot be seen and are not judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from vosctl.compile.desired import Desired, IpSet, Ruleset
from vosctl.plan.observed import SshPath
from vosctl.plan.packet import Packet, Rule, matches, parse_rule


class Fate(Enum):
    """What may become of the packet in a chain."""

    ACCEPT = "accept"
    DROP = "drop"
    RETURN = "return"


Places = tuple[tuple[str, str], ...]

# In the order in which packets to and from the node itself meet them.
_INPUT_PATH: Places = (
    ("raw", "PREROUTING"),
    ("mangle", "PREROUTING"),
    ("nat", "PREROUTING"),
    ("mangle", "INPUT"),
    ("filter", "INPUT"),
    ("security", "INPUT"),
    ("nat", "INPUT"),
)
_OUTPUT_PATH: Places = (
    ("raw", "OUTPUT"),
    ("mangle", "OUTPUT"),
    ("nat", "OUTPUT"),
    ("filter", "OUTPUT"),
    ("security", "OUTPUT"),
    ("mangle", "POSTROUTING"),
    ("nat", "POSTROUTING"),
)
_FATES = {"ACCEPT": Fate.ACCEPT, "DROP": Fate.DROP, "REJECT": Fate.DROP, "RETURN": Fate.RETURN}
_DROPS = ("DROP", "REJECT")
_GOES_ON = frozenset(
    {
        "",
        "LOG",
        "NFLOG",
        "MARK",
        "CONNMARK",
        "SET",
        "CT",
        "NOTRACK",
        "DSCP",
        "TOS",
        "TCPMSS",
        "CLASSIFY",
        "TRACE",
    }
)
_DEEPEST = 32


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may happen, and the rule that drops (None: no rule drops)."""

    fates: frozenset[Fate]
    dropped_by: str | None = None


def check(desired: Desired, path: SshPath) -> str:
    """Return "" where the filter accepts a new connection over ``path``, else the reason why not."""
    family = path.client.version
    ruleset = next((rules for rules in desired.rulesets if rules.family == family), None)
    if ruleset is None:
        return ""
    opening = Packet(source=path.client, destination=path.server, port=path.port)
    answer = Packet(source=path.server, destination=path.client, port=None, opening=False)
    segments = (
        (_INPUT_PATH, opening),
        (_INPUT_PATH, replace(opening, opening=False)),
        (_OUTPUT_PATH, answer),
    )
    try:
        reasons = [_dropped_by(ruleset, desired.sets, places, segment) for places, segment in segments]
    except (ValueError, IndexError) as error:
        return f"the new IPv{family} rules cannot be read: {error}"
    dropped_by = next((reason for reason in reasons if reason is not None), None)
    if dropped_by is None:
        return ""
    return (
        f"the new IPv{family} rules may drop the controller's own SSH connection "
        f"({path.client} to port {path.port}): {dropped_by}; "
        f"put {path.client} into firewall.admin and {path.port} into firewall.management"
    )


def _dropped_by(ruleset: Ruleset, sets: tuple[IpSet, ...], places: Places, packet: Packet) -> str | None:
    """Return a rule that may drop the packet on its way, None where no way leads to one."""
    walk = _Walk(ruleset, {ipset.name: ipset for ipset in sets}, packet)
    hooks = (hook for place in places for hook in ruleset.hooks if (hook.table, hook.parent) == place)
    verdicts = (walk.chain(hook.table, hook.chain) for hook in hooks)
    return next((verdict.dropped_by for verdict in verdicts if Fate.DROP in verdict.fates), None)


class _Walk:
    """Follows one packet through the own chains of one family."""

    def __init__(self, ruleset: Ruleset, sets: Mapping[str, IpSet], packet: Packet) -> None:
        self._chains = _chains(ruleset.text)
        self._sets = sets
        self._packet = packet
        self._known: dict[tuple[str, str], Verdict] = {}

    def chain(self, table: str, name: str, depth: int = 0) -> Verdict:
        """Return what may become of the packet from the start of the chain on."""
        if (table, name) not in self._chains or depth > _DEEPEST:
            return Verdict(
                frozenset({Fate.DROP}), f"chain {name} of table {table} is missing or jumps in circles"
            )
        if (table, name) not in self._known:
            self._known[table, name] = self._walk(table, name, depth)
        return self._known[table, name]

    def _walk(self, table: str, name: str, depth: int) -> Verdict:
        fates: set[Fate] = set()
        dropped_by = None
        for rule in self._chains[table, name]:
            holds = matches(rule, self._packet, self._sets)
            if holds is False:
                continue
            leaving, goes_on = self._target(table, rule, depth)
            fates |= leaving.fates
            dropped_by = dropped_by or leaving.dropped_by
            if holds is True and not goes_on:
                return Verdict(frozenset(fates), dropped_by)
        return Verdict(frozenset(fates | {Fate.RETURN}), dropped_by)

    def _target(self, table: str, rule: Rule, depth: int) -> tuple[Verdict, bool]:
        """Return with what a packet that matches may leave the chain here, and whether it may go on."""
        if rule.target in _FATES:
            return Verdict(
                frozenset({_FATES[rule.target]}), rule.text if rule.target in _DROPS else None
            ), False
        if rule.target in _GOES_ON:
            if "otrack" in rule.text.lower():
                self._packet = replace(self._packet, tracked=False)
            return Verdict(frozenset()), True
        if (table, rule.target) not in self._chains:
            return Verdict(frozenset({Fate.DROP}), rule.text), True
        below = self.chain(table, rule.target, depth + 1)
        if rule.goto:
            return below, False
        return Verdict(below.fates - {Fate.RETURN}, below.dropped_by), Fate.RETURN in below.fates


def _chains(text: str) -> dict[tuple[str, str], list[Rule]]:
    chains: dict[tuple[str, str], list[Rule]] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            chains.setdefault((table, line[1:].split()[0]), [])
        elif line.startswith("-A "):
            rule = parse_rule(line)
            chains.setdefault((table, rule.chain), []).append(rule)
    return chains
