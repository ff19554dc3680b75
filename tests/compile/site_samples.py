"""Sites made by hand: what the loaders would give for two edges, joined by a trunk, with customers and vendors."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from ipaddress import ip_address, ip_network
from pathlib import Path

from msgspec.structs import replace

from vosctl.firewall.signatures import SHIPPED
from vosctl.secret import Secret
from vosctl.site.decks import Deck, Rate, Rates
from vosctl.site.model import (
    Auth,
    Budget,
    Connection,
    Encryption,
    FileSpec,
    Firewall,
    Gateway,
    GatewayType,
    JitterBuffer,
    Key,
    Learn,
    Limits,
    Media,
    Node,
    PortRange,
    ProxyMode,
    Qos,
    Relay,
    ServiceSpec,
    Site,
    Trunk,
)
from vosctl.site.routing import ProfitGuard
from vosctl.site.tree import Mark

MARK = Mark("inventory/group_vars/all.yml", 1, 1)
WAN = JitterBuffer("wan", adaptive=True, minimum=20, maximum=200, start=60)
NEW_KEY = Key("ab-2026q4", Secret("Vw4JX0q2uB7mEt9s"), MARK)
OLD_KEY = Key("ab-2026q3", Secret("p1Lk8ZsYc3Rf6HdN"), MARK)


def networks(*texts):
    return tuple(ip_network(text) for text in texts)


def rate(prefix, per_minute, cycle=1, first="0", first_seconds=0, connect="0"):
    return Rate(prefix, Decimal(per_minute), cycle, Decimal(first), first_seconds, Decimal(connect), MARK)


def deck(name, **rows):
    """``deck("gold", p44="0.02", p="0.5")``: prefixes with a ``p`` before them."""
    return Deck(name, {key[1:]: rate(key[1:], value) for key, value in rows.items()}, MARK)


def guard(lowest=None, unit="minute", most=None, check_rate=False):
    return ProfitGuard(
        Decimal(lowest) if lowest is not None else None, unit, Decimal(most) if most else None, check_rate
    )


def gateway(name, *addresses, **changes):
    made = Gateway(
        name=name,
        type=GatewayType.MAPPING,
        networks=networks(*addresses),
        auth=Auth.IP,
        port=None,
        username=None,
        password=None,
        tier="small",
        limits=Limits(10, 50, timedelta(minutes=30)),
        codecs=("PCMA", "G729"),
        ptime=20,
        dtmf="rfc2833",
        proxy=ProxyMode.MUST_ON,
        jitter=WAN,
        learn=Learn.SDP,
        rate_group="gold",
        guard=None,
        mark=MARK,
    )
    return replace(made, **changes)


def vendor(name, *addresses, rate_group="cheap", guard=None, **changes):
    return gateway(name, *addresses, type=GatewayType.ROUTING, rate_group=rate_group, guard=guard, **changes)


def firewall(**changes):
    made = Firewall(
        enabled=True,
        sip_udp=(5060,),
        sip_tcp=(5060,),
        sip_tls=(5061,),
        admin=networks("198.51.100.0/28", "2001:db8:ad::/64"),
        management={"ssh": (22,), "web": (80, 8080), "metrics": (9100,)},
        trusted=networks("192.0.2.50/32", "2001:db8:77::/64"),
        signatures=SHIPPED,
        budgets={
            "REGISTER": Budget(2, 10),
            "INVITE": Budget(5, 20),
            "OPTIONS": Budget(2, 10),
            "other": Budget(20, 60),
        },
        network_factor=8,
        tcp_connections=10,
        rtp=None,
        mark=MARK,
    )
    return replace(made, **changes)


def relay(*addresses, **changes):
    made = Relay(
        enabled=True,
        addresses=tuple(ip_address(address) for address in addresses),
        ng=(ip_address("127.0.0.1"), 2223),
        ports=PortRange(16384, 32767),
        rtp_timeout=timedelta(seconds=30),
        mark=MARK,
    )
    return replace(made, **changes)


def rates():
    return Rates(
        "USD",
        {"gold": deck("gold", p44="0.0200", p4420="0.0150"), "silver": deck("silver", p44="0.0300")},
        {"cheap": deck("cheap", p44="0.0100"), "dear": deck("dear", p44="0.0180", p4477="0.0400")},
    )


def node(name, address, gateways=(), trunks=(), **changes):
    made = Node(
        name=name,
        groups=("edges",),
        connection=Connection("ssh", address, 22, None, False, None, None, None, None),
        gateways={each.name: each for each in gateways},
        trunks={each.name: each for each in trunks},
        qos=Qos(24, 46),
        media=Media(ProxyMode.MUST_ON, WAN, 20, 500),
        firewall=firewall(),
        sysctl={},
        relay=relay(address),
        rates=rates(),
        files=(),
        packages=(),
        services=(),
        mark=MARK,
    )
    return replace(made, **changes)


def trunk(name="ab", ends=("edge-a", "edge-b"), **changes):
    made = Trunk(
        name, ends, Encryption.AES128, NEW_KEY, (NEW_KEY, OLD_KEY), ("PCMA",), public=False, mark=MARK
    )
    return replace(made, **changes)


def site(*nodes):
    return Site(Path("/site"), {each.name: each for each in nodes}, tuple(each.name for each in nodes))


def two_edges():
    """Two edges with a trunk; all authentication modes; a vendor at either end; files, services, packages."""
    joined = trunk()
    customers = (
        gateway("acme", "203.0.113.10/32", "2001:db8:10::10/128"),
        gateway("bolt", "203.0.113.20/32", auth=Auth.IP_PORT, port=5080),
        gateway("cube", auth=Auth.PASSWORD, username="cube", password=Secret("s3cretPassw0rd")),
    )
    near = vendor("near", "192.0.2.10/32", rate_group="dear", guard=guard("0.001", "minute"))
    far = vendor("far", "192.0.2.20/32", rate_group="cheap")
    edge_a = node(
        "edge-a",
        "10.231.0.2",
        (*customers, near),
        (joined,),
        relay=relay("10.231.0.2", "fd00:231::2"),
        sysctl={"net.ipv4.tcp_fin_timeout": "20", "net.core.somaxconn": "1024"},
        files=(FileSpec("/etc/motd", "edge\n", 0o644, "root", "root", False, None, MARK),),
        packages=("conntrack",),
        services=(ServiceSpec("chrony", "running", True, MARK),),
    )
    edge_b = node("edge-b", "10.231.0.3", (far,), (joined,))
    return site(edge_a, edge_b)
