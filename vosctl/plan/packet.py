"""Matches one packet of a TCP connection against a rule: yes, no or maybe."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network

from vosctl.compile.desired import IpSet

Address = IPv4Address | IPv6Address
Arguments = tuple[str, ...]

_FREE_TEXT = frozenset({"--comment", "--string", "--hex-string"})


@dataclass(frozen=True, slots=True)
class Packet:
    """A TCP segment to ``destination`` and ``port``, from any source port; port None: an answer to any port.

    ``opening``: the SYN that begins the connection, else any later segment that carries data.
    ``tracked`` False: a rule may have taken it out of connection tracking.
    """

    source: Address
    destination: Address
    port: int | None
    opening: bool = True
    tracked: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """An ``-A`` line: chain, options with their arguments, target; ``goto`` for ``-g``."""

    text: str
    chain: str
    options: tuple[tuple[bool, str, tuple[str, ...]], ...]
    target: str
    goto: bool


def parse_rule(line: str) -> Rule:
    """Return the rule in an ``-A`` line; options after the target belong to it and are left out."""
    words = shlex.split(line)
    chain, words = words[1], words[2:]
    options: list[tuple[bool, str, tuple[str, ...]]] = []
    while words:
        negated = words[0] == "!"
        words = words[1:] if negated else words
        name, words = words[0], words[1:]
        count = 1 if name in _FREE_TEXT else _until_option(words)
        arguments, words = tuple(words[:count]), words[count:]
        if name in ("-j", "--jump", "-g", "--goto"):
            return Rule(line, chain, tuple(options), arguments[0], name in ("-g", "--goto"))
        options.append((negated, name, arguments))
    return Rule(line, chain, tuple(options), "", goto=False)


def _until_option(words: list[str]) -> int:
    return next((i for i, word in enumerate(words) if word.startswith("-") or word == "!"), len(words))


def matches(rule: Rule, packet: Packet, sets: Mapping[str, IpSet]) -> bool | None:
    """Return whether the rule matches; None: it may or may not."""
    answer: bool | None = True
    for negated, name, arguments in rule.options:
        one = _option(name, arguments, packet, sets)
        if one is not None and negated:
            one = not one
        if one is False:
            return False
        if one is None:
            answer = None
    return answer


def _option(name: str, arguments: Arguments, packet: Packet, sets: Mapping[str, IpSet]) -> bool | None:
    try:
        if name == "--match-set":
            return _in_set(sets.get(arguments[0]), arguments[1], packet)
        return _OPTIONS[name](arguments, packet) if name in _OPTIONS else None
    except (ValueError, IndexError):
        return None


def _within(networks: str, address: Address) -> bool:
    return any(_contains(network, address) for network in networks.split(","))


def _contains(network: str, address: Address) -> bool:
    net = ip_network(network, strict=False)
    return net.version == address.version and address in net


def _ports(arguments: Arguments, packet: Packet) -> bool | None:
    port = packet.port
    return None if port is None else any(_port_in(part, port) for part in arguments[0].split(","))


def _port_in(part: str, port: int) -> bool:
    first, colon, last = part.partition(":")
    return int(first or 0) <= port <= int((last or 65535) if colon else first)


def _interface(arguments: Arguments, packet: Packet) -> bool | None:
    if arguments[0] != "lo":
        return None
    return packet.source == packet.destination or packet.source.is_loopback


def _flags(arguments: Arguments, packet: Packet) -> bool | None:
    """``--tcp-flags MASK SET``: a SYN has no other flag (but perhaps ECN's), a later segment ACK at least."""
    if packet.port is None:
        return None
    mask, wanted = (_flag_set(part) for part in arguments[:2])
    known = {"SYN": packet.opening, "ACK": not packet.opening, "RST": False}
    if packet.opening:
        known.update(FIN=False, PSH=False, URG=False)
    if any((flag in wanted) != value for flag, value in known.items() if flag in mask):
        return False
    return True if mask <= known.keys() else None


def _flag_set(text: str) -> set[str]:
    flags = set(text.split(","))
    return {"SYN", "ACK", "FIN", "RST", "URG", "PSH"} if "ALL" in flags else flags - {"NONE"}


def _state(arguments: Arguments, packet: Packet) -> bool | None:
    states = set(arguments[0].split(","))
    state = "NEW" if packet.opening else "ESTABLISHED"
    if packet.tracked:
        return state in states
    return True if states >= {state, "UNTRACKED"} else None


def _opens(_arguments: Arguments, packet: Packet) -> bool:
    return packet.opening


def _protocol(arguments: Arguments, _packet: Packet) -> bool:
    return arguments[0] in ("tcp", "6", "all", "0")


def _always(_arguments: Arguments, _packet: Packet) -> bool:
    return True


def _never(_arguments: Arguments, _packet: Packet) -> bool:
    return False


_OPTIONS: Mapping[str, Callable[[Arguments, Packet], bool | None]] = {
    "-m": _always,
    "--comment": _always,
    "-s": lambda arguments, packet: _within(arguments[0], packet.source),
    "-d": lambda arguments, packet: _within(arguments[0], packet.destination),
    "-p": _protocol,
    "--dport": _ports,
    "--dports": _ports,
    "-i": _interface,
    "--ctstate": _state,
    "--syn": _opens,
    "--tcp-flags": _flags,
    "-f": _never,
}


def _in_set(ipset: IpSet | None, directions: str, packet: Packet) -> bool | None:
    """Membership for one-dimensional hash sets; anything else may or may not hold."""
    if ipset is None or ipset.type not in ("hash:net", "hash:ip") or "," in directions:
        return None
    if any(" " in member for member in ipset.members):
        return None  # "nomatch", "timeout" and the like
    address = packet.source if directions == "src" else packet.destination
    return any(_contains(member, address) for member in ipset.members)
