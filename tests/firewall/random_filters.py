"""Random packets, random policies of whole sites, and random rulesets that use every match that is modelled."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from msgspec.structs import replace
from packet_lab import NODE
from sip_messages import GENUINE, SCANS
from site_samples import firewall, gateway, networks, node, relay, site, trunk, vendor

from vosctl.compile.desired import Desired, Hook, IpSet, Ruleset
from vosctl.compile.site import compile_site
from vosctl.firewall.simulate.packet import ICMP, ICMP6, SYN, TCP, UDP, Packet
from vosctl.secret import Secret
from vosctl.site.model import Auth, Budget, PortRange, Unmatched

PEERS = {
    4: ("203.0.113.10", "203.0.113.20", "192.0.2.10", "192.0.2.77", "198.51.100.3", "198.51.100.200"),
    6: ("2001:db8:10::10", "2001:db8:20::20", "2001:db8:77::5", "2001:db8:ad::3", "2001:db8:ad:1::3"),
}
_PORTS = (22, 53, 80, 5060, 5061, 5080, 2223, 9100, 16384, 20000, 32767, 40000)
_PAYLOADS = (
    *SCANS.values(), *GENUINE.values(), b"x", b"OPTIONS sip", b"xOPTIONS sip:a SIP/2.0\r\n", b"options TEL:1\r\n",
    b"\r\n\r\n\r\n", b"REGISTER ", b"INVITE sip:a SIP/2.0\r\nUser-Agent:\tsipcli\r\n", b"\x80\x08" + b"\xd5" * 170,
    b"INVITE sip:a SIP/2.0\r\n" + b"a" * 1000 + b"\r\nUser-Agent: sipcli\r\n", "ÄÖÜß äöü".encode("latin-1"),
)  # fmt: skip
_TCP_STATES = {0x02: "NEW", 0x10: "NEW", 0x18: "NEW", 0x11: "INVALID", 0x04: "INVALID", 0x12: "INVALID",
               0x00: "INVALID", 0x29: "INVALID", 0x03: "INVALID", 0x22: "NEW"}  # fmt: skip
"""What conntrack makes of a segment of no known connection, with tcp_loose, by its flags."""
_ICMP_STATES = {
    4: {(8, 0): "NEW", (0, 0): "INVALID", (3, 1): "INVALID", (11, 0): "INVALID", (13, 0): "NEW"},
    6: {(128, 0): "NEW", (129, 0): "INVALID", (1, 4): "INVALID", (2, 0): "INVALID", (133, 0): "UNTRACKED",
        (135, 0): "UNTRACKED", (130, 0): "UNTRACKED"},
}  # fmt: skip
_HEADERS = {4: (b"\x01\x01\x01\x00", b"\x94\x04\x00\x00"), 6: (b"%c\x00\x01\x04\x00\x00\x00\x00",)}


class Strangers:
    """Addresses that nobody used before, each of a /24 (v6: /64) of its own: budgets are full, no connection is known."""

    def __init__(self):
        self._count = 0
        self._flows = set()

    def is_new(self, *flow):
        """Return whether nobody asked for this flow before: no answer can have made it ESTABLISHED or closed it."""
        known = flow in self._flows
        self._flows.add(flow)
        return not known

    def next(self, family):
        self._count += 1
        if family == 4:
            return f"11.{self._count >> 8}.{self._count & 255}.1"
        return f"2001:db8:1:{self._count:x}::1"


def packet(dice, family, strangers, *, destination=None):
    """Return a random packet with the state that conntrack gives it; its ports make it a connection of its own."""
    source = dice.choice(PEERS[family]) if dice.random() < 0.5 else strangers.next(family)
    protocol = dice.choice((UDP, UDP, UDP, UDP, TCP, TCP, ICMP if family == 4 else ICMP6))
    made = Packet(
        source=ip_network(source),
        destination=ip_network(destination or NODE[family]),
        protocol=protocol,
        interface="eth0",
        payload=dice.choice(_PAYLOADS) if protocol == UDP or dice.random() < 0.3 else b"",
        hops=dice.choice((1, 5, 64, 128, 255)),
        dscp=dice.choice((0, 0, 24, 46)),
    )
    if dice.random() < 0.12:
        headers = dice.choice(_HEADERS[family])
        made = replace(made, headers=headers % protocol if family == 6 else headers)
    if protocol in (ICMP, ICMP6):
        kind, state = dice.choice(list(_ICMP_STATES[family].items()))
        return replace(made, icmp=kind, state=state)
    ports = {
        "sport": dice.choice((5060, 5062, 5080, dice.randint(1024, 65535))),
        "dport": dice.choice(_PORTS),
    }
    if dice.random() < 0.1:
        ports["dport"] = dice.randint(1, 65535)
    if protocol == UDP:
        return replace(made, **ports)
    while not strangers.is_new(source, made.destination, *ports.values()):
        ports["sport"] = dice.randint(1024, 65535)
    flags = dice.choice(list(_TCP_STATES))
    return replace(made, **ports, flags=flags, flags_known=63, state=_TCP_STATES[flags])


def flood(dice, family, strangers):
    """Return packets of one stranger at once, more than any budget here allows."""
    kind = dice.choice(("REGISTER", "INVITE", "OPTIONS", "other", "ping", "tcp"))
    base = Packet(
        ip_network(strangers.next(family)), ip_network(NODE[family]), UDP, 5060, 5060, interface="eth0"
    )
    if kind == "ping":
        return [replace(base, protocol=ICMP if family == 4 else ICMP6, sport=None, dport=None,
                        icmp=(8 if family == 4 else 128, 0), payload=b"")] * 30  # fmt: skip
    if kind == "tcp":
        return [replace(base, protocol=TCP, sport=1024 + number, flags=SYN) for number in range(30)]
    text = f"{kind} sip:a SIP/2.0\r\n" if kind != "other" else "SIP/2.0 200 OK\r\n"
    return [replace(base, payload=text.encode())] * 30


def policy(dice):
    """Return a node of a random site, compiled."""

    def some(*choices):
        return tuple(choice for choice in choices if dice.random() < 0.5)

    def budget(**more):
        return Budget(dice.randint(1, 2), dice.randint(12, 25))

    gateways = [
        gateway("acme", "203.0.113.10/32", "2001:db8:10::10/128"),
        gateway("bolt", "203.0.113.20/32", "2001:db8:20::20/128", auth=Auth.IP_PORT,
                port=dice.choice((5060, 5062, 5080))),
        gateway("cube", auth=Auth.PASSWORD, username="cube", password=Secret("s3cretPassw0rd")),
        vendor("near", "192.0.2.0/27"),
    ]  # fmt: skip
    changes = {
        "admin": networks("198.51.100.0/28", *some("2001:db8:ad::/64", "198.51.100.128/25")),
        "trusted": networks(*some("192.0.2.64/28", "2001:db8:77::/64", "198.51.100.0/24", "0.0.0.0/0")),
        "management": dict(some(("ssh", (22,)), ("web", (80, 8080)), ("metrics", (9100,)), ("odd", (5080, 5061)))),
        "sip_udp": dice.choice(((5060,), (5060, 5080), ())),
        "sip_tcp": dice.choice(((5060,), ())),
        "sip_tls": dice.choice(((5061,), ())),
        "budgets": {name: budget() for name in ("REGISTER", "INVITE", "OPTIONS", "other")},
        "network_factor": dice.randint(1, 8),
        "tcp_connections": dice.randint(2, 12),
        "rtp": dice.choice((None, PortRange(20000, 30000))),
        "default": dice.choice(list(Unmatched)),
    }  # fmt: skip
    ng = (ip_address(dice.choice(("127.0.0.1", NODE[4], "0.0.0.0"))), 2223)
    own = node("edge-a", NODE[4], some(*gateways), (trunk(),), firewall=firewall(**changes),
               relay=relay(NODE[4], NODE[6], ng=ng, enabled=dice.random() < 0.8))  # fmt: skip
    return compile_site(site(own, node("edge-b", "192.0.2.99")), release=None)["edge-a"]


_CHAINS = ("VOS-INPUT", "VOS-A", "VOS-B", "VOS-C")
_SETS = {
    4: (
        IpSet("vos-x4", "hash:net", 4, ("192.0.2.0/27", "11.0.0.0/22", "203.0.113.10"), 65536),
        IpSet("vos-y4", "hash:ip", 4, ("192.0.2.10", "203.0.113.20", NODE[4]), 65536),
        IpSet("vos-z4", "hash:net,port", 4, ("203.0.113.20,udp:5060", "192.0.2.0/24,tcp:5080"), 65536),
    ),
    6: (
        IpSet("vos-x6", "hash:net", 6, ("2001:db8:10::/48", "2001:db8:1::/64", "2001:db8:ad::3"), 65536),
        IpSet("vos-y6", "hash:ip", 6, ("2001:db8:20::20", NODE[6]), 65536),
        IpSet("vos-z6", "hash:net,port", 6, ("2001:db8:20::/64,udp:5060", "2001:db8:77::5,tcp:5080"), 65536),
    ),
}


class Rules:
    """Writes random restore input of one family."""

    def __init__(self, dice, family):
        self.dice, self.family = dice, family
        self._names = 0

    def desired(self):
        chains = "".join(f":{name} - [0:0]\n" for name in _CHAINS)
        lines = [self._rule(chain, _CHAINS[at + 1 :]) for at, chain in enumerate(_CHAINS)
                 for _ in range(self.dice.randint(4, 12))]  # fmt: skip
        raw = "*raw\n:VOS-RAW - [0:0]\n" + "".join(
            f"-A VOS-RAW {self._basics()} -j CT --notrack\n" for _ in range(self.dice.randint(0, 2))
        )
        mangle = f"*mangle\n:VOS-MARK - [0:0]\n-A VOS-MARK {self._basics()} -j DSCP --set-dscp 0x0a\nCOMMIT\n"
        text = f"{raw}COMMIT\n{mangle}*filter\n{chains}" + "\n".join(lines) + "\nCOMMIT\n"
        hooks = (Hook("raw", "PREROUTING", "VOS-RAW"), Hook("mangle", "PREROUTING", "VOS-MARK"),
                 Hook("filter", "INPUT", "VOS-INPUT"))  # fmt: skip
        return Desired("n", (), None, (), _SETS[self.family], (Ruleset(self.family, text, hooks),), (), ())

    def _rule(self, chain, below):
        targets = ["-j ACCEPT", "-j DROP", "-j RETURN", "", "", f"-j SET --add-set vos-x{self.family} src"]
        for name in below:
            targets += [f"-j {name}", f"-j {name}", f"-g {name}"]
        words = [f"-A {chain}", self._basics()]
        words += [self._match() for _ in range(self.dice.randint(0, 2))]
        return " ".join((*filter(None, words), self.dice.choice(targets))).strip()

    def _not(self):
        return "! " if self.dice.random() < 0.25 else ""

    def _basics(self):
        source = self.dice.choice(("", "", f"{self._not()}-s {self._network()}"))
        via = self.dice.choice(("",) * 6 + ("! -i lo", "-i eth0", "-i et+", f"{self._not()}-i wire"))
        return " ".join(filter(None, (source, via, self._protocol())))

    def _network(self):
        near = self.dice.choice(PEERS[self.family])
        bits = self.dice.choice((8, 24, 27, 32) if self.family == 4 else (32, 48, 64, 128))
        return ip_network(f"{near}/{bits}", strict=False)

    def _span(self):
        first = self.dice.choice(_PORTS)
        return self.dice.choice((f"{first}", f"{first}:{first + 3000}"))

    def _protocol(self):
        dice = self.dice
        icmp = "-p icmp -m icmp --icmp-type" if self.family == 4 else "-p ipv6-icmp -m icmp6 --icmpv6-type"
        kind, code = dice.choice(list(_ICMP_STATES[self.family]))
        flags = ("SYN", "ACK", "FIN", "RST", "FIN,SYN,RST,ACK", "ALL", "PSH,URG")
        which = dice.choice(("udp", "tcp"))
        return dice.choice((
            "", "-p udp", "-p tcp", "! -p udp",
            f"-p {which} -m {which} {self._not()}--dport {self._span()}",
            f"-p {which} -m {which} {self._not()}--sport {self._span()}",
            f"-p {which} -m multiport {self._not()}--dports {self._span()},5060,{self._span()}",
            f"-p {which} -m multiport {self._not()}--ports 5060,{self._span()}",
            f"-p tcp -m tcp {self._not()}--tcp-flags {dice.choice(flags)} {dice.choice(('SYN', 'ACK', 'NONE'))}",
            "-p tcp -m tcp --syn",
            f"{icmp} {kind}", f"{icmp} {kind}/{code}",
        ))  # fmt: skip

    def _match(self):
        dice, turn = self.dice, self._not()
        start = (20 if self.family == 4 else 40) + 8
        first = dice.choice((0, 1, 12, start, start + 1))
        last = dice.choice((start + 3, start + 12, start + 13, start + 14, start + 200, 2000))
        text = dice.choice(("OPTIONS sip:", "ptions", "User-Agent: ", "sipcli", "SIP/2.0", "REGISTER ", "x"))
        return dice.choice((
            f"-m conntrack {turn}--ctstate {dice.choice(('NEW', 'INVALID', 'ESTABLISHED,RELATED', 'UNTRACKED'))}",
            f"-m set {turn}--match-set vos-x{self.family} src",
            f"-m set {turn}--match-set vos-y{self.family} {dice.choice(('src', 'dst'))}",
            f"-m set {turn}--match-set vos-z{self.family} src,{dice.choice(('src', 'dst'))}",
            f'-m string {turn}--string "{text}" --algo {dice.choice(("kmp", "bm"))} --from {first} --to {last}'
            + dice.choice(("", " --icase")),
            f"-m string {turn}--hex-string \"|{'äö'.encode('latin-1').hex()}|\" --algo kmp --to 2000 --icase",
            f"-m length {turn}--length {dice.choice(('0:60', '28', '49:', '200:700'))}",
            f'-m u32 {turn}--u32 "{self._u32()}"',
            f"-m {'ttl' if self.family == 4 else 'hl'} {turn}--{'ttl' if self.family == 4 else 'hl'}-eq 64",
            f"-m {'ttl --ttl' if self.family == 4 else 'hl --hl'}-{dice.choice(('lt', 'gt'))} 64",
            f"-m dscp {turn}--dscp {dice.choice((0, 10, 46))}",
            f"-m limit --limit 1/min --limit-burst {self._unique()}",
            (f"-m hashlimit --hashlimit-{dice.choice(('above', 'upto'))} 1/hour --hashlimit-burst 2 --hashlimit-mode srcip"
            f" --hashlimit-name vosr{self._unique()} --hashlimit-srcmask {dice.choice((16, 24, 32))}"),
        ))  # fmt: skip

    def _unique(self):
        self._names += 1
        return self._names + 5

    def _u32(self):
        if self.family == 4:
            return self.dice.choice((
                "0>>22&0x3C@8>>24=0x4f,0x52:0x53", "0&0xF000000=0x5000000", "6&0xFF=0x11", "6&0xFF=6&&20&0xFFFF=5060:5080",
                "28>>24=0x9:0xd,0x20", "0>>16&0xFC=0x60:0xb8", "60=0:0xffffffff", "4&0=0",
            ))  # fmt: skip
        return self.dice.choice((
            "4>>8&0xff=0x11", "48>>24=0x9:0xd,0x20", "40&0xFFFF=5060", "4&0xFF=64", "0>>20&0x3f=0x2e", "90=0:0xffffffff",
        ))  # fmt: skip
