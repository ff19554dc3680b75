"""The chains that SIP passes before any rule for established flows: peers, bans, signatures, budgets.

A reply such as 401 makes a UDP flow ESTABLISHED, so a filter behind that rule would see one packet
of a brute-force run and no more.
"""

from __future__ import annotations

from collections.abc import Iterator

from vosctl.errors import VosctlError
from vosctl.firewall import bans, ir, sets
from vosctl.firewall.budgets import CONNECT, METHODS, OTHER
from vosctl.firewall.meter import ALL_SOURCES, NETWORK_BITS, SOURCE_BITS, over_budget
from vosctl.firewall.policy import Policy
from vosctl.firewall.refusal import rule, target
from vosctl.firewall.signatures import is_request_line
from vosctl.site.model import Budget, Signature

UDP = "VOS-SIP"
TCP = "VOS-SIP-TCP"
_SIGNATURES = "VOS-SIGNATURES"
_BUDGETS = "VOS-BUDGETS"
_STREAM = "VOS-STREAM"
_NAMES = "VOS-STREAM-NAMES"
_AGENT_BYTES = 1024
_TCP_HEADER = {"least": 20, "most": 60}
_UDP_HEADER = 8
_KEEPALIVE = 4  # CRLF CRLF, RFC 5626 section 3.5.1
_LONGEST_PATTERN = 128  # XT_STRING_MAX_PATTERN_SIZE
_AGENT_HEADERS = ("\nUser-Agent: ", "\nUser-Agent:")

# The start of the payload is a dozen bytes: reading all of them costs nothing, and an IP fragment that
# ends inside the method hides nothing. Header words are searched in a kilobyte, for the lazy only.
_EXACT = ir.Algorithm.KNUTH_MORRIS_PRATT
_FAST = ir.Algorithm.BOYER_MOORE


def chains(policy: Policy, family: int) -> tuple[ir.Chain, ...]:
    """Return the SIP chains of one family; the first two are what INPUT jumps to, for UDP and TCP."""
    built = [
        ir.Chain("filter", UDP, tuple(_udp(policy, family))),
        ir.Chain("filter", TCP, tuple(_tcp(policy, family))),
    ]
    if policy.strangers:
        built.append(ir.Chain("filter", _SIGNATURES, tuple(_signatures(policy, family))))
        built += _budgets(policy, family)
        built += _stream(policy, family)
        built += bans.chains(policy, family)
    return tuple(built)


def _peers(policy: Policy, protocol: str, family: int) -> Iterator[ir.Rule]:
    yield ir.Rule(
        ir.Verdict.ACCEPT,
        ir.Origin(
            ", ".join(policy.peer_paths or ("firewall.trusted",)),
            "peers known by address may send anything",
        ),
        matches=(ir.InSet(sets.set_name(sets.PEERS, family)),),
    )
    if policy.port_peers:
        yield ir.Rule(
            ir.Verdict.ACCEPT,
            ir.Origin("gateways", "peers known by address and port (auth ip+port)"),
            protocol=protocol,
            matches=(ir.InSet(sets.set_name(sets.PORT_PEERS, family), with_port=True),),
        )


def _nobody_else(policy: Policy) -> ir.Rule:
    path = "gateways" if "gateways" in policy.peer_paths else "firewall.sip"
    return rule(policy, "stranger", path, "no gateway with a password, so no stranger is genuine")


def _udp(policy: Policy, family: int) -> Iterator[ir.Rule]:
    yield from _peers(policy, "udp", family)
    if not policy.strangers:
        yield _nobody_else(policy)
        return
    yield bans.banned(policy, family)
    yield ir.Rule(ir.Jump(_SIGNATURES), ir.Origin("firewall.signatures", "strangers show who they are"))
    yield ir.Rule(ir.Jump(_BUDGETS), ir.Origin("gateways", "strangers may be devices with a password"))


def _signatures(policy: Policy, family: int) -> Iterator[ir.Rule]:
    start = ir.payload_offset(family)
    refuse = target(policy, "signature")
    yield ir.Rule(
        refuse,
        ir.Origin(
            "firewall.signatures",
            "IP options or extension headers move text out of sight; no device sends them",
        ),
        protocol="udp",
        matches=(ir.ExtraHeaders(),),
    )
    yield ir.Rule(
        refuse,
        ir.Origin("firewall.signatures", "a request hidden behind blank lines"),
        protocol="udp",
        matches=(ir.Longer(start + _KEEPALIVE), ir.LeadingBlank()),
    )
    for signature in policy.firewall.signatures:
        if is_request_line(signature):
            end = start + len(signature.text.encode())
            yield _text_rule(refuse, signature, signature.text, (start, end))
        else:
            yield from _agent_rules(refuse, signature, "udp", (start, start + _AGENT_BYTES))


def _agent_rules(
    refuse: ir.Target, signature: Signature, protocol: str, bounds: tuple[int, int]
) -> Iterator[ir.Rule]:
    for header in _AGENT_HEADERS:
        yield _text_rule(refuse, signature, header + signature.text, bounds, protocol)


def _text_rule(
    refuse: ir.Target, signature: Signature, text: str, bounds: tuple[int, int], protocol: str = "udp"
) -> ir.Rule:
    if len(text.encode()) > _LONGEST_PATTERN:
        most = _LONGEST_PATTERN - len(_AGENT_HEADERS[0])
        raise VosctlError(
            f"{signature.path}: {signature.text[:40]!r}… is too long for the kernel's text search",
            hint=f"at most {most} bytes; the beginning of the word is enough",
        )
    algorithm = _EXACT if is_request_line(signature) else _FAST
    return ir.Rule(
        refuse,
        ir.Origin(signature.path, signature.text),
        protocol=protocol,
        matches=(ir.Text(text, *bounds, any_case=True, algorithm=algorithm),),
    )


def _budgets(policy: Policy, family: int) -> Iterator[ir.Chain]:
    start = ir.payload_offset(family)
    rules = [_together(policy, family, "all", _registered(family, negated=True))]
    for method in METHODS:
        text = f"{method} "
        rules.append(
            ir.Rule(
                ir.Jump(_chain_of(method)),
                ir.Origin(policy.allowances[method].path, f"{method} requests"),
                protocol="udp",
                matches=(ir.Text(text, start, start + len(text), any_case=False, algorithm=_EXACT),),
            )
        )
    origin = ir.Origin(policy.allowances[OTHER].path, "other requests, replies, keepalives")
    rules.append(ir.Rule(ir.Jump(_chain_of(OTHER)), origin))
    yield ir.Chain("filter", _BUDGETS, tuple(rules))
    for name in (*METHODS, OTHER):
        yield ir.Chain("filter", _chain_of(name), tuple(_meter(policy, name, family)))


def _together(policy: Policy, family: int, tag: str, *matches: ir.Match) -> ir.Rule:
    everybody = Budget(policy.flood, policy.flood)
    over = over_budget(tag, everybody, family=family, prefix=ALL_SOURCES)
    purpose = f"more than {policy.flood} a second of all strangers together would fill tables of the node"
    return rule(policy, "flood", "firewall.budgets", purpose, *matches, over)


def _registered(family: int, *, negated: bool = False) -> ir.InSet:
    return ir.InSet(sets.set_name(sets.REGISTERED, family), with_port=True, negated=negated)


def _chain_of(method: str) -> str:
    return f"VOS-{method.upper()}"


def _meter(policy: Policy, method: str, family: int) -> Iterator[ir.Rule]:
    allowed = policy.allowances[method]
    tag, network = method[:3].lower(), NETWORK_BITS[family]
    # One address first: what it sends too much must not use up its neighbours' share. And a device that
    # registered does not depend on its neighbours, nor on what is sent in their names.
    over = over_budget(tag, allowed.source, family=family, prefix=SOURCE_BITS[family])
    yield rule(policy, "budget", allowed.path, f"over {_shown(allowed.source)} of one address", over)
    yield ir.Rule(ir.Verdict.ACCEPT, ir.Origin(allowed.path, "a device that registered, within budget"),
                  protocol="udp", matches=(_registered(family),))  # fmt: skip
    over = over_budget(tag, allowed.network, family=family, prefix=network)
    yield rule(policy, "budget", allowed.path, f"over {_shown(allowed.network)} of a /{network}", over)
    yield ir.Rule(ir.Verdict.ACCEPT, ir.Origin(allowed.path, "within budget"))


def _shown(budget: Budget) -> str:
    return f"{budget.rate} a second (burst {budget.burst})"


def _tcp(policy: Policy, family: int) -> Iterator[ir.Rule]:
    """Words can be split across segments, so strangers are held to a rate and a number of connections."""
    yield from _peers(policy, "tcp", family)
    if not policy.strangers:
        yield _nobody_else(policy)
        return
    yield bans.banned(policy, family)
    new = ir.State(("NEW",))
    connections = "firewall.tcp_connections"
    refuse = target(policy, "tcp")
    invalid = ir.State(("INVALID",))
    yield _tcp_rule(refuse, connections, "a connection begins with SYN", ir.NotSyn(), new)
    yield _tcp_rule(refuse, connections, "a segment of no connection", invalid)
    yield _tcp_rule(ir.Jump(_STREAM), connections, "connections that strangers hold",
                    ir.State(("ESTABLISHED",), original=True))  # fmt: skip
    yield _together(policy, family, "tcf", new)
    widths = (SOURCE_BITS[family], NETWORK_BITS[family])
    for prefix, count in zip(widths, policy.connections, strict=True):
        yield _tcp_rule(refuse, connections, f"more than {count} at once from one /{prefix}", new,
                        ir.ConnectionsAbove(count, prefix))  # fmt: skip
    allowed = policy.allowances[CONNECT]
    refuse = target(policy, "budget")
    for prefix, share in zip(widths, (allowed.source, allowed.network), strict=True):
        yield _tcp_rule(refuse, allowed.path, f"over {_shown(share)} new connections of a /{prefix}", new,
                        over_budget("tcp", share, family=family, prefix=prefix))  # fmt: skip
    yield ir.Rule(ir.Verdict.ACCEPT, ir.Origin("gateways", "strangers may be devices with a password"))


def _stream(policy: Policy, family: int) -> Iterator[ir.Chain]:
    """Segments of connections: their number counts always, a name given in one of them where it is seen."""
    header = ir.payload_offset(family) - _UDP_HEADER
    least, most = header + _TCP_HEADER["least"], header + _TCP_HEADER["most"]
    origin = ir.Origin("firewall.signatures", "segments with more than a header")
    look = ir.Rule(ir.Jump(_NAMES), origin, protocol="tcp", matches=(ir.Longer(most),))
    names = (
        each
        for signature in policy.firewall.signatures
        if not is_request_line(signature)
        for each in _agent_rules(ir.Jump(bans.OFFENCE), signature, "tcp", (least, most + _AGENT_BYTES))
    )
    yield ir.Chain("filter", _STREAM, (*bans.stream(policy, family), look))
    yield ir.Chain("filter", _NAMES, tuple(names))


def _tcp_rule(refuse: ir.Target, path: str, purpose: str, *matches: ir.Match) -> ir.Rule:
    return ir.Rule(refuse, ir.Origin(path, purpose), protocol="tcp", matches=matches)
