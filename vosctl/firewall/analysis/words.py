"""A box of packets in words: ``UDP from 198.51.100.0/24 to port 5060, new``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address, summarize_address_range

from vosctl.firewall.analysis.space import Box, Space
from vosctl.firewall.analysis.vocabulary import STATES, Vocabulary
from vosctl.firewall.simulate.rules import Span

_PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6"}
_SHOWN = 4
_YES = 2
HEADER = frozenset({"protocol", "source", "sport", "destination", "dport", "state", "interface", "icmp"})
"""The dimensions that words speak of; the others are conditions."""


def in_words(vocabulary: Vocabulary, box: Box) -> str:
    """Return the header fields of a box in words."""
    words = [_protocol(vocabulary, box)]
    if "source" in box:
        words.append(f"from {_addresses(vocabulary, 'source', box)}")
    if "sport" in box:
        words.append(f"port {_numbers(vocabulary, 'sport', box)}" if "source" in box else
                     f"from port {_numbers(vocabulary, 'sport', box)}")  # fmt: skip
    if "destination" in box:
        words.append(f"to {_addresses(vocabulary, 'destination', box)}")
    if "dport" in box:
        words.append(f"{'port' if 'destination' in box else 'to port'} {_numbers(vocabulary, 'dport', box)}")
    return ", ".join((" ".join(words), *_details(vocabulary, box)))


def _details(vocabulary: Vocabulary, box: Box) -> Iterator[str]:
    if "state" in box:
        found = vocabulary.fields["state"].spans(box["state"])
        names = [STATES[at].lower() for first, last in found for at in range(first, last + 1)]
        yield " or ".join(names)
    if "interface" in box and vocabulary.fields["interface"].spans(box["interface"])[0][0] != 0:
        found = vocabulary.fields["interface"].spans(box["interface"])
        yield "by " + " or ".join(
            vocabulary.interface(at) for first, last in found for at in range(first, last + 1)
        )
    if "icmp" in box:
        yield f"ICMP type {_icmp(vocabulary, box)}"


def conditions(vocabulary: Vocabulary, space: Space) -> Iterator[str]:
    """Yield what must hold beside the header for each of the packets, a few in words; nothing if some need nothing."""
    found: dict[str, None] = {}
    for box in space:
        held = [name for name in box if name not in vocabulary.fields and box[name] == _YES]
        telling = [words for name in held if (words := _condition(name))]
        if not telling:
            return
        found.update(dict.fromkeys(telling[-1:]))
    names = list(found)
    yield from names[:_SHOWN]
    if len(names) > _SHOWN:
        yield f"one of {len(names) - _SHOWN} other conditions"


def _condition(name: str) -> str:
    """Return a condition in words; "" for those that only look at the packet's shape."""
    text = name.rpartition(" #")[0].partition(": ")[2] or name
    if limit := re.search(r"--hashlimit-(?:above|upto) (\S+) --hashlimit-burst (\d+)", text):
        return f"it is over {limit[1]} (burst {limit[2]})"
    if limit := re.search(r"--connlimit-above (\d+) --connlimit-mask (\d+)", text):
        return f"more than {limit[1]} connections of a /{limit[2]} are held"
    if string := re.search(r"--hex-string \|([0-9a-f]+)\|", text):
        return f"it says {bytes.fromhex(string[1]).decode('utf-8', 'replace').strip()!r}"
    if string := re.search(r"--string (.*) --algo", text):
        return f"it says {string[1]!r}"
    return (
        ""
        if text.startswith("--u32")
        else f"it is {text}"
        if text.startswith("in set")
        else text.replace("--match-set", "in")
    )


def _protocol(vocabulary: Vocabulary, box: Box) -> str:
    if "protocol" not in box:
        return "anything"
    spans = vocabulary.fields["protocol"].spans(box["protocol"])
    if sum(last - first + 1 for first, last in spans) > _SHOWN:
        left = [number for number in _PROTOCOLS if not any(first <= number <= last for first, last in spans)]
        return (
            f"anything but {' and '.join(_PROTOCOLS[number] for number in left)}"
            if left
            else "other protocols"
        )
    numbers = [number for first, last in spans for number in range(first, last + 1)]
    return " or ".join(_PROTOCOLS.get(number, f"protocol {number}") for number in numbers)


def _addresses(vocabulary: Vocabulary, name: str, box: Box) -> str:
    field = vocabulary.fields[name]
    version = 4 if field.last < 1 << 32 else 6
    spans = field.spans(box[name])
    networks = list(_networks(spans, version))
    outside = list(_networks(_complement(spans, field.last), version))
    if len(networks) > _SHOWN and len(outside) < len(networks):
        return f"anywhere but {_some(outside)}"
    return _some(networks)


def _networks(spans: tuple[Span, ...], version: int) -> Iterator[str]:
    kind = type(ip_address("0.0.0.0" if version == 4 else "::"))  # noqa: S104  no socket is bound
    for first, last in spans:
        for network in summarize_address_range(kind(first), kind(last)):
            yield str(network.network_address if network.num_addresses == 1 else network)


def _complement(spans: tuple[Span, ...], last: int) -> tuple[Span, ...]:
    found, start = [], 0
    for first, end in spans:
        if first > start:
            found.append((start, first - 1))
        start = end + 1
    return (*found, (start, last)) if start <= last else tuple(found)


def _numbers(vocabulary: Vocabulary, name: str, box: Box) -> str:
    field = vocabulary.fields[name]
    spans = field.spans(box[name])
    outside = _complement(spans, field.last)
    if len(outside) < len(spans):
        return f"other than {_some([_span(span) for span in outside])}"
    return _some([_span(span) for span in spans])


def _icmp(vocabulary: Vocabulary, box: Box) -> str:
    spans = vocabulary.fields["icmp"].spans(box["icmp"])
    return _some([_span((first >> 8, last >> 8)) for first, last in spans])


def _span(span: Span) -> str:
    return str(span[0]) if span[0] == span[1] else f"{span[0]}-{span[1]}"


def _some(words: list[str]) -> str:
    shown = ", ".join(words[:_SHOWN])
    return shown if len(words) <= _SHOWN else f"{shown} and {len(words) - _SHOWN} more"
