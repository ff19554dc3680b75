"""What the packet filter costs a packet: accepted from a trusted peer among few and many, dropped as a scanner's.

``firewall-peer-N``: nanoseconds a packet through sending, the receive path and the filter (see firewall_bed for the
method) with N trusted peers, against the same with 10 peers, against a rule for each peer and against the guides'
script with N trusted addresses. Ten peers from all over the list send. ``-filter`` is what is left when the time of
a node without rules is taken off; ``-active`` has every one of the peers send in turn, which is as unkind to the
processor's caches as can be.
``firewall-drop``: a request of a known scanner, against the guides' script, by its request line and by its name.
"""

from __future__ import annotations

from typing import Any

from bench.firewall_bed import (
    PEER_REQUEST,
    Bed,
    Node,
    Sender,
    bare,
    bed,
    compiled,
    guides,
    in_turns,
    linear,
    ours,
    peers,
    result,
    spread,
)

NAMES = ("firewall-peer-10", "firewall-peer-1000", "firewall-peer-100000", "firewall-drop")

_PACKETS, _ROUNDS = 20_000, 25
_RULES_A_SECOND = 40_000_000  # roughly what the kernel compares; only sizes the rounds of linear filters
_SCANS = {
    "request": b"OPTIONS sip:100@node SIP/2.0\r\nVia: SIP/2.0/UDP 198.18.0.1:5060;branch=z9hG4bKx\r\n"
    b"From: <sip:100@node>;tag=1\r\nTo: <sip:100@node>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n"
    b"Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
    "name": b"REGISTER sip:node SIP/2.0\r\nVia: SIP/2.0/UDP 198.18.0.1:5060;branch=z9hG4bKx\r\n"
    b"From: <sip:100@node>;tag=1\r\nTo: <sip:100@node>\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n"
    b"User-Agent: friendly-scanner\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
}


def run(name: str) -> list[dict[str, Any]]:
    """Return the figures of one bench."""
    with bed() as made:
        return _drop(made) if name == "firewall-drop" else _peers(made, name, int(name.rpartition("-")[2]))


def _peers(made: Bed, name: str, count: int) -> list[dict[str, Any]]:
    many, few = peers(count), peers(10)
    nodes = {
        "bare": made.node(bare),
        "10": made.node(ours(compiled(few))),
        "ours": made.node(ours(compiled(many))),
        "linear": made.node(linear(many)),
        "guides": made.node(guides(many)),
    }
    sizes = {"linear": count, "guides": count}
    senders: dict[str, tuple[Sender, int]] = {}
    for label, node in nodes.items():
        slow = sizes.get(label, 0) / _RULES_A_SECOND
        packets = max(20, min(_PACKETS, int(0.1 / slow))) if slow else _PACKETS
        senders[label] = made.sender(node, PEER_REQUEST, spread(few if label == "10" else many)), packets
    active = {**senders, "active": (made.sender(nodes["ours"], PEER_REQUEST, many), _PACKETS)}
    times = in_turns(active, _ROUNDS if count <= 1000 else 15)
    _check(nodes["ours"], "peers known by address", [active["ours"][0], active["active"][0]])
    _check(nodes["linear"], f"-s {spread(many)[-1]}/32", [senders["linear"][0]], part=len(spread(many)))
    free = times["bare"]
    ns = "ns a packet"
    found = [
        result(name, round(times["ours"], 1), ns, "vosctl 10 peers", round(times["10"], 1), bench=name),
        result(f"{name}-rate", round(1e9 / times["ours"]), "packets/s", "vosctl 10 peers", round(1e9 / times["10"]), bench=name),
        result(f"{name}-linear", round(times["ours"], 1), ns, "a rule a peer", round(times["linear"], 1), bench=name),
        result(f"{name}-guides", round(times["ours"], 1), ns, "guides' script", round(times["guides"], 1), bench=name),
        result(f"{name}-active", round(times["active"], 1), ns, "vosctl, 10 of them active", round(times["ours"], 1), bench=name),
    ]  # fmt: skip
    parts = {label: round(times[label] - free, 1) for label in ("ours", "guides")}
    found.append(result(f"{name}-filter", parts["ours"], "ns a packet for the filter alone", "guides' script", parts["guides"], bench=name))  # fmt: skip
    return found


def _drop(made: Bed) -> list[dict[str, Any]]:
    members = peers(1000)
    strangers = [f"198.18.{number}.7" for number in range(250)]
    nodes = {
        "bare": made.node(bare),
        "ours": made.node(ours(compiled(members, password=True))),
        "guides": made.node(guides(members[:10])),
    }
    found = []
    for label, payload in _SCANS.items():
        senders = {name: (made.sender(node, payload, strangers), _PACKETS) for name, node in nodes.items()}
        before = {name: node.matched("-j DROP") for name, node in nodes.items()}
        times = in_turns(senders, _ROUNDS)
        for name in ("ours", "guides"):
            dropped = nodes[name].matched("-j DROP") - before[name]
            if dropped != senders[name][0].sent:
                raise RuntimeError(f"{name} dropped {dropped} of {senders[name][0].sent} {label} scans")
        suffix = "" if label == "request" else f"-{label}"
        found.append(
            result(f"firewall-drop{suffix}", round(times["ours"], 1), f"ns a scan dropped by its {label}", "guides' script, 10 peers",
                   round(times["guides"], 1), bench="firewall-drop")
        )  # fmt: skip
    return found


def _check(node: Node, pattern: str, senders: list[Sender], *, part: int = 1) -> None:
    """Raise ``RuntimeError`` unless the rules counted every packet (``part``: its share of the sources)."""
    counted, sent = node.matched(pattern), sum(sender.sent for sender in senders) // part
    if abs(counted - sent) > part:
        raise RuntimeError(f"rules of {pattern!r} met {counted} packets, {sent} were sent")
