"""The checked site: frozen objects with real types, one Node for each host of the inventory."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from msgspec import Struct

from vosctl.secret import Secret
from vosctl.site.decks import Rates
from vosctl.site.filtering import DEFAULT_BANS, DEFAULT_LOGGING, Bans, Logging
from vosctl.site.monitoring import Alerts, Metrics
from vosctl.site.own import FileSpec, ServiceSpec, UserSpec
from vosctl.site.probes import Probe
from vosctl.site.rollout import Rollout
from vosctl.site.routing import (
    DEFAULT_GATEWAY_ROUTING,
    DEFAULT_ROUTING,
    GatewayRouting,
    ProfitGuard,
    Routing,
)
from vosctl.site.tree import Mark

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class GatewayType(Enum):
    """Mapping: a customer's, calls come in. Routing: a vendor's, calls go out."""

    MAPPING = "mapping"
    ROUTING = "routing"


class Auth(Enum):
    """How a gateway proves who it is."""

    IP = "ip"
    IP_PORT = "ip+port"
    PASSWORD = "password"  # noqa: S105  the name of a mode


class Encryption(Enum):
    """RTP payload encryption of a trunk (SS_RTPENCRYPTIONMODE 0 to 3, and SRTP)."""

    NONE = "none"
    XOR = "xor"
    RC4 = "rc4"
    AES128 = "aes128"
    SRTP = "srtp"


class ProxyMode(Enum):
    """Whether media crosses the relay (SS_MEDIAPROXYMODE)."""

    OFF = "off"
    ON = "on"
    AUTO = "auto"
    MUST_ON = "must_on"


class Unmatched(Enum):
    """What becomes of packets that no rule of the firewall speaks of: cut, or left to the host's own rules."""

    DROP = "drop"
    RETURN = "return"


class Learn(Enum):
    """What a media leg accepts as its far end: the SDP's word, or any source after probation."""

    SDP = "sdp"
    ANY = "any"


class PortRange(Struct, frozen=True):
    """UDP or TCP ports from first to last, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def overlaps(self, other: PortRange) -> bool:
        """Return whether the two ranges share a port."""
        return self.first <= other.last and other.first <= self.last

    def contains(self, other: PortRange) -> bool:
        """Return whether ``other`` lies wholly inside this range."""
        return self.first <= other.first and other.last <= self.last


class Key(Struct, frozen=True):
    """A named trunk key; the name is the key id (``kid``) that peers signal.

    ``mode`` None: that of the trunk it is used on. ``created`` is in UTC, None where nobody wrote it.
    """

    name: str
    value: Secret
    mark: Mark
    mode: Encryption | None = None
    created: datetime | None = None


class Limits(Struct, frozen=True):
    """A gateway's admission limits: calls a second, calls at once, longest call."""

    cps: int
    concurrent: int
    duration: timedelta


class JitterBuffer(Struct, frozen=True):
    """A playout buffer's bounds in milliseconds (SS_JITTERBUFFER_MODE, _MIN, _MAX, _DEFAULT)."""

    name: str
    adaptive: bool
    minimum: int
    maximum: int
    start: int


class Gateway(Struct, frozen=True):
    """A customer's (mapping) or vendor's (routing) gateway.

    ``networks`` are its signalling addresses (hosts are /32 or /128); ``port`` is the source port
    of ``ip+port``; ``rate_group`` names a customer group (mapping) or clearing deck (routing).
    """

    name: str
    type: GatewayType
    networks: tuple[Network, ...]
    auth: Auth
    port: int | None
    username: str | None
    password: Secret | None
    tier: str | None
    limits: Limits
    codecs: tuple[str, ...]
    ptime: int
    dtmf: str
    proxy: ProxyMode
    jitter: JitterBuffer
    learn: Learn
    rate_group: str | None
    guard: ProfitGuard | None
    mark: Mark
    interface: str | None = None
    routing: GatewayRouting = DEFAULT_GATEWAY_ROUTING


class Trunk(Struct, frozen=True):
    """A trunk joins two nodes; both ends are compiled from this one object.

    ``accept`` holds every key that a peer may name: the current one first, then staged or retiring
    ones. ``public`` says that the trunk crosses a public network. Keys older than ``max_age`` are due.
    """

    name: str
    ends: tuple[str, str]
    encryption: Encryption
    key: Key | None
    accept: tuple[Key, ...]
    codecs: tuple[str, ...]
    public: bool
    mark: Mark
    proxy: ProxyMode | None = None
    interface: str | None = None
    max_age: timedelta | None = None

    def mode_of(self, key: Key) -> Encryption:
        """Return the mode in which the trunk uses a key: its own, so that another one can be staged, or the trunk's."""
        return key.mode or self.encryption

    def other(self, node: str) -> str:
        """Return the name of the end that is not ``node``."""
        return self.ends[1] if self.ends[0] == node else self.ends[0]


class Qos(Struct, frozen=True):
    """DSCP values, 0 to 63 (RFC 2474): SS_QOS_SIGNAL and SS_QOS_RTP."""

    signalling: int
    media: int


class Media(Struct, frozen=True):
    """Defaults of media handling; ``calls`` is how many calls at once the node is sized for."""

    proxy: ProxyMode
    jitter: JitterBuffer
    ptime: int
    calls: int


class Budget(Struct, frozen=True):
    """A SIP request budget: sustained requests a second, and the burst above it; 0 where none is written."""

    rate: int
    burst: int


class Signature(Struct, frozen=True):
    """A scanner's word in the User-Agent header, where it was seen, and the variable that names it."""

    text: str
    source: str
    path: str = "firewall.signatures"


class FirewallWatch(Struct, frozen=True):
    """What is looked at every ``interval``: a file for node_exporter, thresholds (0: never), and who is told.

    ``conntrack`` and ``bans`` are percent of what there is room for, ``drops`` packets a second.
    """

    textfile: str | None
    conntrack: float
    drops: float
    bans: float
    interval: timedelta
    webhook: Secret | None


class Firewall(Struct, frozen=True):
    """A node's packet filter policy.

    ``admin`` networks reach the ``management`` TCP ports (service name → ports) and nobody else
    does; ``trusted`` networks are SIP peers beside the gateways' own addresses; ``budgets`` is what
    one source may send as far as it is written, by REGISTER, INVITE, OPTIONS, ``other``, ``connect``
    (new TCP connections) and ``stream`` (segments over those); ``network_factor`` is how many times
    that a whole /24 (v6 /64) may send, 0 where that is not written; ``rtp`` is what is open for media (None: the
    relay's ports); ``default`` is what becomes of packets that no rule speaks of; ``watch`` is None where
    nobody wants to hear of its counters; ``tests`` are packets with what must become of each.
    """

    enabled: bool
    sip_udp: tuple[int, ...]
    sip_tcp: tuple[int, ...]
    sip_tls: tuple[int, ...]
    admin: tuple[Network, ...]
    management: Mapping[str, tuple[int, ...]]
    trusted: tuple[Network, ...]
    signatures: tuple[Signature, ...]
    budgets: Mapping[str, Budget]
    network_factor: int
    tcp_connections: int
    rtp: PortRange | None
    mark: Mark
    default: Unmatched = Unmatched.DROP
    watch: FirewallWatch | None = None
    log: Logging = DEFAULT_LOGGING
    bans: Bans = DEFAULT_BANS
    tests: tuple[Probe, ...] = ()


class Interface(Struct, frozen=True):
    """A named side of a relay: what it binds, what its SDP shows (empty: the same), what is reached by it."""

    name: str
    addresses: tuple[Address, ...]
    advertised: tuple[Address, ...]
    networks: tuple[Network, ...]


class Relay(Struct, frozen=True):
    """The RTP relay of a node: ``addresses`` are bound and put into SDP, at most one a family; ``ng`` answers NG.

    ``limits`` are the relay's own, beside those of gateways; 0 is no limit. Without a folder for
    ``recordings`` no call is recorded. ``drain``: how long a restart waits for calls to end. ``low_latency``:
    the relay keeps its cores from halting. ``kernel_path``: the kernel forwards what is settled.
    """

    enabled: bool
    addresses: tuple[Address, ...]
    ng: tuple[Address, int]
    ports: PortRange
    rtp_timeout: timedelta
    mark: Mark
    interfaces: tuple[Interface, ...] = ()
    limits: Limits | None = None
    metrics: Metrics | None = None
    alerts: Alerts | None = None
    recordings: str = ""
    low_latency: bool = False
    kernel_path: bool = False
    drain: timedelta = timedelta(minutes=10)


class Connection(Struct, frozen=True):
    """How a node is reached. ``kind`` is ``ssh`` or ``local``.

    ``root`` (local only) makes a directory stand for the node: files go below it, the machine's
    packages, firewall and sysctls are left alone.
    """

    kind: str
    host: str
    port: int
    user: str | None
    become: bool
    private_key: Path | None
    ssh_config: Path | None
    known_hosts: Path | None
    root: Path | None


class Node(Struct, frozen=True):
    """One host with everything that concerns it, variables already resolved."""

    name: str
    groups: tuple[str, ...]
    connection: Connection
    gateways: Mapping[str, Gateway]
    trunks: Mapping[str, Trunk]
    qos: Qos
    media: Media
    firewall: Firewall
    sysctl: Mapping[str, str]
    relay: Relay
    rates: Rates
    files: tuple[FileSpec, ...]
    packages: tuple[str, ...]
    services: tuple[ServiceSpec, ...]
    mark: Mark
    users: tuple[UserSpec, ...] = ()
    routing: Routing = DEFAULT_ROUTING


class Site(Struct, frozen=True):
    """All nodes that a run concerns, and all of the inventory for what they refer to.

    ``selected`` are the node names after the play's ``hosts`` and ``--limit``, in inventory order;
    ``rollouts`` hold each of them once, in the order of the plays (without a playbook: ()).
    """

    directory: Path
    nodes: Mapping[str, Node]
    selected: tuple[str, ...]
    rollouts: tuple[Rollout, ...] = ()
