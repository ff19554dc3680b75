"""The options of each match module as typed conditions; raises ValueError or KeyError for what is not modelled."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_network

from msgspec import Struct

from vosctl.firewall.simulate.rules import (
    U32,
    AddressIn,
    Condition,
    ConnectionsOver,
    DirectionIs,
    DscpIs,
    End,
    FlagsAre,
    Fragment,
    HasText,
    HopsIn,
    IcmpIs,
    LengthIn,
    MemberOf,
    Over,
    PortIn,
    ProtocolIs,
    Span,
    StateIn,
    Test,
    U32Test,
    Via,
)

PROTOCOLS = {"all": 0, "icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": 58, "icmpv6": 58, "sctp": 132}
FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32}
_ALL_FLAGS = 63
_LAST_PORT = 65535
_LAST_BYTE = 65535  # what --to is where a rule leaves it out
_SECONDS = {"sec": 1, "second": 1, "s": 1, "min": 60, "minute": 60, "m": 60, "hour": 3600, "h": 3600,
            "day": 86400, "d": 86400}  # fmt: skip
_ENDS = {"src": End.SOURCE, "dst": End.DESTINATION}
_BURST = 5  # what limit and hashlimit take where a rule says nothing
_HEX = re.compile(r"\|([0-9A-Fa-f ]*)\|")
_U32_STEP = re.compile(r"(&|<<|>>|@)(0[xX][0-9a-fA-F]+|\d+)")


class Option(Struct, frozen=True):
    """One option of a rule with its arguments."""

    negated: bool
    name: str
    arguments: tuple[str, ...]

    @property
    def text(self) -> str:
        """The option as the rule spells it."""
        return " ".join((*(("!",) if self.negated else ()), self.name, *self.arguments))

    def condition(self, test: Test) -> Condition:
        """Return the condition that this option puts."""
        return Condition(test, self.negated, self.text)


_BASIC = {
    "-s": "source", "--source": "source", "-d": "destination", "--destination": "destination",
    "-i": "in", "--in-interface": "in", "-o": "out", "--out-interface": "out",
    "-p": "protocol", "--protocol": "protocol", "-f": "fragment", "--fragment": "fragment",
}  # fmt: skip


def is_basic(option: Option) -> bool:
    """Return whether the option belongs to no match module."""
    return option.name in _BASIC


def basic(option: Option) -> Condition:
    """Return the condition of an option that belongs to no match module."""
    kind = _BASIC[option.name]
    if kind == "fragment":
        return option.condition(Fragment())
    word = option.arguments[0]
    if kind == "protocol":
        return option.condition(ProtocolIs(PROTOCOLS[word] if word in PROTOCOLS else int(word)))
    if kind in ("in", "out"):
        return option.condition(Via(word, outgoing=kind == "out"))
    networks = tuple(ip_network(text, strict=False) for text in word.split(","))
    return option.condition(AddressIn(End(kind), networks))


def _number(text: str) -> int:
    return int(text, 0)


def _span(text: str, last: int = _LAST_PORT) -> Span:
    first, colon, end = text.partition(":")
    return (int(first or 0), int(end or last) if colon else int(first))


_PORT_ENDS = {
    "--sport": End.SOURCE, "--sports": End.SOURCE, "--source-port": End.SOURCE,
    "--dport": End.DESTINATION, "--dports": End.DESTINATION, "--destination-port": End.DESTINATION,
    "--ports": End.EITHER, "--port": End.EITHER,
}  # fmt: skip


def _ports(options: list[Option]) -> Iterator[Condition]:
    for option in options:
        if option.name == "--syn":
            yield option.condition(FlagsAre(FLAGS["FIN"] | FLAGS["SYN"] | FLAGS["RST"] | FLAGS["ACK"], 2))
        elif option.name == "--tcp-flags":
            yield option.condition(FlagsAre(*(_flags(word) for word in option.arguments[:2])))
        else:
            spans = tuple(_span(part) for part in option.arguments[0].split(","))
            yield option.condition(PortIn(_PORT_ENDS[option.name], spans))


def _flags(text: str) -> int:
    if text in ("ALL", "NONE"):
        return _ALL_FLAGS if text == "ALL" else 0
    return sum(FLAGS[name] for name in set(text.split(",")))


def _icmp(options: list[Option]) -> Iterator[Condition]:
    for option in options:
        if option.name not in ("--icmp-type", "--icmpv6-type"):
            raise KeyError(option.name)
        number, slash, code = option.arguments[0].partition("/")
        yield option.condition(IcmpIs(int(number), int(code) if slash else None))


def _conntrack(options: list[Option]) -> Iterator[Condition]:
    for option in options:
        if option.name == "--ctdir":
            yield option.condition(DirectionIs({"ORIGINAL": True, "REPLY": False}[option.arguments[0]]))
        elif option.name in ("--ctstate", "--state"):
            yield option.condition(StateIn(frozenset(option.arguments[0].split(","))))
        else:
            raise KeyError(option.name)


def _set(options: list[Option]) -> Iterator[Condition]:
    if len(options) != 1 or options[0].name != "--match-set":
        raise KeyError("--match-set")
    name, ends = options[0].arguments
    parts = tuple(ends.split(","))
    if not set(parts) <= _ENDS.keys():
        raise ValueError(ends)
    yield options[0].condition(MemberOf(name, parts))


def _string(options: list[Option]) -> Iterator[Condition]:
    first, last, any_case = 0, _LAST_BYTE, False
    pattern, negated = None, False
    for option in options:
        if option.name in ("--string", "--hex-string"):
            word = option.arguments[0]
            pattern = _hex_text(word) if option.name == "--hex-string" else word.encode()
            negated = option.negated
        elif option.name == "--from":
            first = int(option.arguments[0])
        elif option.name == "--to":
            last = int(option.arguments[0])
        elif option.name == "--icase":
            any_case = True
        elif option.name != "--algo":
            raise KeyError(option.name)
    if not pattern:
        raise ValueError("a string match without a text")
    test = HasText(pattern, first, last, any_case)
    yield Condition(test, negated, " ".join(option.text for option in options))


def _hex_text(text: str) -> bytes:
    """Return the bytes of ``text|hex|text``."""
    parts = _HEX.split(text)
    return b"".join(bytes.fromhex(part) if index % 2 else part.encode() for index, part in enumerate(parts))


def _length(options: list[Option]) -> Iterator[Condition]:
    for option in options:
        if option.name != "--length":
            raise KeyError(option.name)
        yield option.condition(LengthIn(_span(option.arguments[0])))


def _u32(options: list[Option]) -> Iterator[Condition]:
    for option in options:
        if option.name != "--u32":
            raise KeyError(option.name)
        text = option.arguments[0].replace(" ", "")
        yield option.condition(U32(tuple(_u32_test(part) for part in text.split("&&"))))


def _u32_test(text: str) -> U32Test:
    left, equals, right = text.partition("=")
    start = re.match(r"0[xX][0-9a-fA-F]+|\d+", left)
    if start is None or not equals:
        raise ValueError(text)
    steps = _U32_STEP.findall(left, start.end())
    if "".join(operator + number for operator, number in steps) != left[start.end() :]:
        raise ValueError(text)
    spans = tuple(_u32_span(part) for part in right.split(","))
    numbers = [("at", _number(start[0])), *((operator, _number(number)) for operator, number in steps)]
    return U32Test(tuple(numbers), spans)


def _u32_span(text: str) -> Span:
    first, colon, last = text.partition(":")
    low = _number(first) if first else 0
    return (low, (_number(last) if last else 0xFFFFFFFF) if colon else low)


def _hops(options: list[Option]) -> Iterator[Condition]:
    for option in options:
        value = int(option.arguments[0])
        kind = option.name.rpartition("-")[2]
        span = {"eq": (value, value), "lt": (0, value - 1), "gt": (value + 1, 255)}[kind]
        yield option.condition(HopsIn(span))


def _dscp(options: list[Option]) -> Iterator[Condition]:
    for option in options:
        if option.name != "--dscp":
            raise KeyError(option.name)
        yield option.condition(DscpIs(_number(option.arguments[0])))


def _rate(text: str) -> float:
    count, _, unit = text.partition("/")
    return int(count) / _SECONDS[unit or "sec"]


def _limit(options: list[Option]) -> Iterator[Condition]:
    """Within the limit: the opposite of being over it."""
    found = {option.name: option.arguments[0] for option in options}
    if not found.keys() <= {"--limit", "--limit-burst"}:
        raise KeyError("limit")
    text = " ".join(option.text for option in options)
    test = Over("", _rate(found.get("--limit", "3/hour")), int(found.get("--limit-burst", _BURST)), 0, text)
    yield Condition(test, negated=True, text=text)


_HASHLIMIT = frozenset({
    "--hashlimit-above", "--hashlimit-upto", "--hashlimit-burst", "--hashlimit-mode", "--hashlimit-name",
    "--hashlimit-srcmask", "--hashlimit-htable-size", "--hashlimit-htable-max", "--hashlimit-htable-expire",
    "--hashlimit-htable-gcinterval",
})  # fmt: skip


def _hashlimit(options: list[Option]) -> Iterator[Condition]:
    found = {option.name: option.arguments[0] for option in options}
    if not found.keys() <= _HASHLIMIT or found.get("--hashlimit-mode") != "srcip":
        raise KeyError("hashlimit")
    above = "--hashlimit-above" in found
    limit = found["--hashlimit-above" if above else "--hashlimit-upto"]
    burst = int(found.get("--hashlimit-burst", _BURST))
    bits = int(found.get("--hashlimit-srcmask", -1))  # -1: the whole address
    text = " ".join(option.text for option in options)
    negated = any(option.negated for option in options)
    test = Over(found["--hashlimit-name"], _rate(limit), burst, bits, text)
    yield Condition(test, negated=negated == above, text=text)


def _connlimit(options: list[Option]) -> Iterator[Condition]:
    found = {option.name: option.arguments[0] if option.arguments else "" for option in options}
    names = {"--connlimit-above", "--connlimit-upto", "--connlimit-mask", "--connlimit-saddr"}
    if not found.keys() <= names:
        raise KeyError("connlimit")
    above = "--connlimit-above" in found
    count = int(found["--connlimit-above" if above else "--connlimit-upto"])
    text = " ".join(option.text for option in options)
    negated = any(option.negated for option in options)
    yield Condition(ConnectionsOver(count, int(found.get("--connlimit-mask", -1))), negated == above, text)


MODULES: Mapping[str, Callable[[list[Option]], Iterator[Condition]]] = {
    "tcp": _ports,
    "udp": _ports,
    "multiport": _ports,
    "icmp": _icmp,
    "icmp6": _icmp,
    "conntrack": _conntrack,
    "state": _conntrack,
    "set": _set,
    "string": _string,
    "length": _length,
    "u32": _u32,
    "hl": _hops,
    "ttl": _hops,
    "dscp": _dscp,
    "limit": _limit,
    "hashlimit": _hashlimit,
    "connlimit": _connlimit,
}
