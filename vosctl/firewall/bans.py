"""Bans by rule: only of a source that has proven that it receives what is sent to its address.

Anybody can forge a UDP packet, and conntrack calls a TCP connection ESTABLISHED on the strength of an
acknowledgement that need only fall into a window of 66,000: 65,000 forged packets hit it. The node's own
TCP stack compares all 32 bits of it before a program gets to answer. So what proves a source is data
that this node has sent over a connection: its address and port are then in a set, for a minute.
"""

from __future__ import annotations

from collections.abc import Iterator

from vosctl.firewall import ir, sets
from vosctl.firewall.budgets import CONNECT, STREAM
from vosctl.firewall.meter import SOURCE_BITS, over_budget
from vosctl.firewall.policy import Policy
from vosctl.firewall.ports import groups
from vosctl.firewall.refusal import rule, target
from vosctl.site.model import Budget, PortRange

OFFENCE = "VOS-OFFENCE"
_BAN = "VOS-BAN"
_DAY = 86400
_PATH = "firewall.bans"
_OPENED_AGAIN = 2  # bursts of connections, each answered and closed, before it counts as an offence


def banned(policy: Policy, family: int, *, spare_admin: bool = False) -> ir.Rule:
    """Return the rule that drops whatever a banned source sends."""
    matches: tuple[ir.Match, ...] = (ir.InSet(sets.set_name(sets.BANNED, family)),)
    if spare_admin:
        matches = (ir.InSet(sets.set_name(sets.ADMIN, family), negated=True), *matches)
    return rule(policy, "banned", _PATH, "banned by a rule or a person", *matches)


def stream(policy: Policy, family: int) -> Iterator[ir.Rule]:
    """Yield the rules for segments of connections that offend by their number."""
    allowed = policy.allowances[STREAM]
    yield ir.Rule(
        ir.Jump(OFFENCE),
        ir.Origin(allowed.path, "more over TCP than a gateway with a password may send"),
        protocol="tcp",
        matches=(
            ir.Flags(("PSH",), ("PSH",)),
            over_budget("str", allowed.source, family=family, prefix=SOURCE_BITS[family]),
        ),
    )
    allowed = policy.allowances[CONNECT]
    closed = Budget(max(1, allowed.source.rate // 2), allowed.source.burst * _OPENED_AGAIN)
    yield ir.Rule(
        ir.Jump(OFFENCE),
        ir.Origin(allowed.path, "connections opened, answered and closed without end"),
        protocol="tcp",
        matches=(
            ir.Flags(("FIN",), ("FIN",)),
            ir.InSet(sets.set_name(sets.PROVEN, family), with_port=True),
            over_budget("fin", closed, family=family, prefix=SOURCE_BITS[family]),
        ),
    )


def chains(policy: Policy, family: int) -> Iterator[ir.Chain]:
    """Yield the chain of offences, that of bans, and the one that sees the node's answers."""
    offence = [rule(policy, "offence", _PATH, "an offence; who sent it is not proven")]
    if policy.firewall.bans.automatic:
        proven = ir.InSet(sets.set_name(sets.PROVEN, family), with_port=True)
        origin = ir.Origin(_PATH, "an answer of this node reached the source, so nobody forged it")
        offence.insert(0, ir.Rule(ir.Jump(_BAN), origin, protocol="tcp", matches=(proven,)))
        yield ir.Chain("filter", _BAN, tuple(_ban(policy, family)))
    yield ir.Chain("filter", OFFENCE, tuple(offence))
    yield ir.Chain("filter", "VOS-ANSWERED", tuple(_answers(policy, family)), "OUTPUT")


def _ban(policy: Policy, family: int) -> Iterator[ir.Rule]:
    """Yield what bans: membership from earlier offences is asked for before this one is noted."""
    ban, again, often = (
        sets.set_name(base, family) for base in (sets.BANNED, sets.OFFENDED, sets.OFFENDED_AGAIN)
    )
    times = policy.firewall.bans
    seconds = [int(each.total_seconds()) for each in (times.first, times.second, times.later)]
    yield _note(ban, seconds[0], f"{_PATH}.first", "an offence")
    yield _note(ban, seconds[1], f"{_PATH}.second", "the second within a day", ir.InSet(again))
    yield _note(ban, seconds[2], f"{_PATH}.later", "a later one within a day", ir.InSet(often))
    yield _note(often, _DAY, _PATH, "remembered for a day as the second", ir.InSet(again))
    yield _note(again, _DAY, _PATH, "remembered for a day")
    yield ir.Rule(target(policy, "banned"), ir.Origin(_PATH, "the packet that was the offence"))


def _note(name: str, seconds: int, path: str, purpose: str, *matches: ir.Match) -> ir.Rule:
    return ir.Rule(ir.AddToSet(name, seconds), ir.Origin(path, purpose), matches=matches)


def _answers(policy: Policy, family: int) -> Iterator[ir.Rule]:
    firewall = policy.firewall
    start = ir.payload_offset(family)
    if firewall.bans.automatic:
        data = ir.Flags(("SYN", "RST", "PSH"), ("PSH",))
        proven = ir.AddToSet(sets.set_name(sets.PROVEN, family), sets.PROVEN_SECONDS, answered=True)
        for group in groups((*firewall.sip_tcp, *firewall.sip_tls)):
            origin = ir.Origin(_PATH, "data over TCP proves the far end")
            yield ir.Rule(proven, origin, "tcp", matches=(_from(group), data))
    known = ir.AddToSet(sets.set_name(sets.REGISTERED, family), sets.REGISTERED_SECONDS, answered=True)
    status, method = "SIP/2.0 200", " REGISTER\r\n"
    for group in groups(firewall.sip_udp):
        matches = (
            _from(group),
            ir.Text(status, start, start + len(status), any_case=False, algorithm=ir.Algorithm.KNUTH_MORRIS_PRATT),
            ir.Text(method, start, start + 1024, any_case=False, algorithm=ir.Algorithm.BOYER_MOORE),
        )  # fmt: skip
        yield ir.Rule(known, ir.Origin("gateways", "a device that registered"), "udp", matches=matches)


def _from(ports: tuple[PortRange, ...]) -> ir.Ports:
    return ir.Ports(ir.Side.SOURCE, ports)
