"""Builds the packets of ``firewall.tests``, with what should become of each."""

from __future__ import annotations

from vosctl.site.model import Address
from vosctl.site.objects.fields import Fields
from vosctl.site.objects.scalars import WrongValueError, parse_address, parse_network
from vosctl.site.probes import Expectation, Probe, parse_payload, parse_rate
from vosctl.site.tree import Scalar


def build_probes(table: Fields) -> tuple[Probe, ...]:
    """Return the tests of a node's firewall, by name; what is incomplete is a problem."""
    found = (_probe(name, entry) for name, entry in table.entries())
    return tuple(probe for probe in found if probe is not None)


def _probe(name: str, entry: Fields) -> Probe | None:
    source = entry.parsed("src", parse_network)
    expect = entry.text("expect")
    for key, value, hint in (
        ("src", source, "src: the address that the packet comes from"),
        ("expect", expect, "expect: accept, drop or return"),
    ):
        if value is None and key not in entry:
            entry.error("test-incomplete", f"the test does not say {key}", hint=hint)
    if source is None or expect not in {each.value for each in Expectation}:
        return None
    destination = entry.parsed("dst", parse_address)
    if not _is_whole(entry, source.version, destination):
        return None
    connections = entry.integer("connections")
    return Probe(
        name=name,
        source=source,
        mark=entry.tree.mark,
        destination=destination,
        protocol=entry.text("proto") or "udp",
        sport=entry.integer("sport"),
        dport=entry.integer("dport"),
        icmp_type=entry.integer("icmp_type"),
        payload=entry.parsed("payload", _payload) or b"",
        state=entry.text("state") or "new",
        rate=entry.parsed("rate", _rate) or 0,
        connections=1 if connections is None else connections,
        interface=entry.text("iface"),
        expect=Expectation(expect),
    )


def _is_whole(entry: Fields, family: int, destination: Address | None) -> bool:
    if entry.text("proto") != "icmp" and entry.integer("dport") is None:
        entry.error("test-incomplete", "the test does not say dport", hint="dport: 5060; icmp needs none")
        return False
    if destination is not None and destination.version != family:
        message = f"{destination} is not of the family of the test's source"
        entry.error("test-families", message, key="dst", hint="leave dst out for the node's own address")
        return False
    return True


def _payload(value: Scalar) -> bytes:
    try:
        return parse_payload(value.text)
    except ValueError:
        hint = 'write "hex:0d0a0d0a", or the text itself'
        raise WrongValueError("bad-payload", "these are no bytes in hexadecimal", hint) from None


def _rate(value: Scalar) -> float:
    try:
        return parse_rate(value.text)
    except ValueError as error:
        raise WrongValueError("bad-rate", str(error), "as 30/s, 90/m or 5/h") from None
