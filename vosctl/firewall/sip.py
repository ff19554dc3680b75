"""The chains that SIP passes before any rule for established flows: peers, signatures, budgets.

A reply such as 401 makes a UDP flow ESTABLISHED, so a filter behind that rule would see one packet
of a brute-force run and no more.
"""

from __future__ import annotations

from collections.abc import Iterator

from vosctl.errors import VosctlError
from vosctl.firewall import ir, sets
from vosctl.firewall.meter import NETWORK_BITS, SOURCE_BITS, over_budget, times
from vosctl.firewall.policy import Policy
from vosctl.firewall.signatures import is_request_line
from vosctl.site.model import Signature

UDP = "VOS-SIP"
TCP = "VOS-SIP-TCP"
_SIGNATURES = "VOS-SIGNATURES"
_BUDGETS = "VOS-BUDGETS"
_METERED = ("REGISTER", "INVITE", "OPTIONS")
_OTHER = "other"
_AGENT_BYTES = 1024
_KEEPALIVE = 4  # CRLF CRLF, RFC 5626 section 3.5.1
_LONGEST_PATTERN = 128  # XT_STRING_MAX_PATTERN_SIZE


def chains(policy: Policy, family: int) -> tuple[ir.Chain, ...]:
    """Return the SIP chains of one family; the first two are what INPUT jumps to, for UDP and TCP."""
    built = [
        ir.Chain("filter", UDP, tuple(_udp(policy, family))),
        ir.Chain("filter", TCP, tuple(_tcp(policy, family))),
        ir.Chain("filter", _SIGNATURES, tuple(_signatures(policy, family))),
    ]
    if policy.strangers:
        built += _budgets(policy, family)
    return tuple(built)


def _peers(protocol: str, family: int) -> Iterator[ir.Rule]:
    yield ir.Rule(
        ir.Verdict.ACCEPT,
        ir.Origin("gateways, trunks, firewall.trusted", "peers known by address may send anything"),
        matches=(ir.InSet(sets.set_name(sets.PEERS, family)),),
    )
    yield ir.Rule(
        ir.Verdict.ACCEPT,
        ir.Origin("gateways", "peers known by address and port (auth ip+port)"),
        protocol=protocol,
        matches=(ir.InSet(sets.set_name(sets.PORT_PEERS, family), with_port=True),),
    )


def _nobody_else() -> ir.Rule:
    return ir.Rule(
        ir.Verdict.DROP, ir.Origin("gateways", "no gateway with a password, so no stranger is genuine")
    )


def _udp(policy: Policy, family: int) -> Iterator[ir.Rule]:
    yield from _peers("udp", family)
    yield ir.Rule(ir.Jump(_SIGNATURES), ir.Origin("firewall.signatures", "strangers show who they are"))
    if policy.strangers:
        yield ir.Rule(
            ir.Jump(_BUDGETS), ir.Origin("firewall.budgets", "strangers may be devices with a password")
        )
    else:
        yield _nobody_else()


def _signatures(policy: Policy, family: int) -> Iterator[ir.Rule]:
    start = ir.payload_offset(family)
    yield ir.Rule(
        ir.Verdict.DROP,
        ir.Origin(
            "firewall.signatures",
            "IP options or extension headers move text out of sight; no device sends them",
        ),
        protocol="udp",
        matches=(ir.ExtraHeaders(),),
    )
    yield ir.Rule(
        ir.Verdict.DROP,
        ir.Origin("firewall.signatures", "a request hidden behind blank lines"),
        protocol="udp",
        matches=(ir.Longer(start + _KEEPALIVE), ir.LeadingBlank()),
    )
    for signature in policy.firewall.signatures:
        yield from _signature(signature, start)


def _signature(signature: Signature, start: int) -> Iterator[ir.Rule]:
    if is_request_line(signature):
        yield _text_rule(signature, signature.text, start, start + len(signature.text.encode()), _EXACT)
        return
    for header in ("User-Agent: ", "User-Agent:"):
        yield _text_rule(signature, header + signature.text, start, start + _AGENT_BYTES, _FAST)


# The start of the payload is a dozen bytes: reading all of them costs nothing, and an IP fragment that
# ends inside the method hides nothing. Header words are searched in a kilobyte, for the lazy only.
_EXACT = ir.Algorithm.KNUTH_MORRIS_PRATT
_FAST = ir.Algorithm.BOYER_MOORE


def _text_rule(signature: Signature, text: str, first: int, last: int, algorithm: ir.Algorithm) -> ir.Rule:
    if len(text.encode()) > _LONGEST_PATTERN:
        raise VosctlError(
            f"firewall.signatures: {signature.text[:40]!r}… is too long for the kernel's text search",
            hint=f"at most {_LONGEST_PATTERN - len('User-Agent: ')} bytes; the beginning of the word is enough",
        )
    return ir.Rule(
        ir.Verdict.DROP,
        ir.Origin("firewall.signatures", signature.text),
        protocol="udp",
        matches=(ir.Text(text, first, last, any_case=True, algorithm=algorithm),),
    )


def _budgets(policy: Policy, family: int) -> Iterator[ir.Chain]:
    start = ir.payload_offset(family)
    jumps = []
    for method in _METERED:
        text = f"{method} "
        jumps.append(
            ir.Rule(
                ir.Jump(_chain_of(method)),
                ir.Origin(f"firewall.budgets.{method}", f"{method} requests"),
                protocol="udp",
                matches=(ir.Text(text, start, start + len(text), any_case=False, algorithm=_EXACT),),
            )
        )
    jumps.append(
        ir.Rule(
            ir.Jump(_chain_of(_OTHER)),
            ir.Origin(f"firewall.budgets.{_OTHER}", "replies, keepalives, the rest"),
        )
    )
    yield ir.Chain("filter", _BUDGETS, tuple(jumps))
    for name in (*_METERED, _OTHER):
        yield ir.Chain("filter", _chain_of(name), tuple(_meter(policy, name, family)))


def _chain_of(method: str) -> str:
    return f"VOS-{method.upper()}"


def _meter(policy: Policy, method: str, family: int) -> Iterator[ir.Rule]:
    factor = policy.firewall.network_factor
    budget = policy.firewall.budgets[method]
    path = f"firewall.budgets.{method}"
    # One address first: what it sends too much must not use up its neighbours' share.
    for prefix, share, purpose in (
        (SOURCE_BITS[family], budget, "one address is over its budget"),
        (
            NETWORK_BITS[family],
            times(budget, factor),
            f"a /{NETWORK_BITS[family]} is over {factor} times the budget",
        ),
    ):
        match = over_budget(method[:3].lower(), share, family=family, prefix=prefix)
        yield ir.Rule(ir.Verdict.DROP, ir.Origin(path, purpose), matches=(match,))
    yield ir.Rule(ir.Verdict.ACCEPT, ir.Origin(path, "within budget"))


def _tcp(policy: Policy, family: int) -> Iterator[ir.Rule]:
    """Words can be split across segments, so strangers are held to a rate and a number of connections."""
    yield from _peers("tcp", family)
    if not policy.strangers:
        yield _nobody_else()
        return
    new = ir.State(("NEW",))
    firewall = policy.firewall
    most, factor = firewall.tcp_connections, firewall.network_factor
    connections = "firewall.tcp_connections"
    yield _tcp_drop(connections, "a connection begins with SYN", ir.NotSyn(), new)
    for prefix, count in ((SOURCE_BITS[family], most), (NETWORK_BITS[family], most * factor)):
        yield _tcp_drop(connections, f"more than {count} at once from one /{prefix}", new,
                        ir.ConnectionsAbove(count, prefix))  # fmt: skip
    budget = firewall.budgets[_OTHER]
    for prefix, share in ((SOURCE_BITS[family], budget), (NETWORK_BITS[family], times(budget, factor))):
        yield _tcp_drop(f"firewall.budgets.{_OTHER}", f"new connections too fast from one /{prefix}", new,
                        over_budget("tcp", share, family=family, prefix=prefix))  # fmt: skip
    yield ir.Rule(ir.Verdict.ACCEPT, ir.Origin(connections, "strangers may be devices with a password"))


def _tcp_drop(path: str, purpose: str, *matches: ir.Match) -> ir.Rule:
    return ir.Rule(ir.Verdict.DROP, ir.Origin(path, purpose), protocol="tcp", matches=matches)
