"""The command that shows what a packet would meet: ``vosctl trace``."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import click

from vosctl.cli.loading import load_site, site_options_of
from vosctl.cli.options import SiteArguments, site_options
from vosctl.cli.rule_place import rule_place
from vosctl.cli.screen import output, print_json
from vosctl.compile.node import compile_node
from vosctl.errors import UsageError
from vosctl.firewall.protected import protected
from vosctl.firewall.trace import Trace, trace
from vosctl.report.trace import as_json, screen
from vosctl.site.model import Node, Site
from vosctl.site.probes import PROTOCOLS, STATES, Expectation, Probe, parse_payload, parse_rate
from vosctl.site.suggest import did_you_mean
from vosctl.site.tree import Mark
from vosctl.site.written import Places

_AS_EXPECTED, _OTHERWISE = 0, 1


class _Parsed(click.ParamType[Any]):
    """An option whose text one function understands."""

    def __init__(self, name: str, parse: Callable[[str], Any], example: str) -> None:
        self.name = name
        self._parse, self._example = parse, example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return what the text means."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except (ValueError, OSError) as error:
            self.fail(f"{error}; write it as {self._example}", param, ctx)


def _payload(text: str) -> bytes:
    return Path(text[1:]).read_bytes() if text.startswith("@") else parse_payload(text)


def _kernel(text: str) -> tuple[int, int]:
    major, minor = (int(word) for word in text.split(".")[:2])
    return major, minor


_PORT = click.IntRange(1, 65535)


@click.command("trace", short_help="Show what a packet would meet.")
@click.argument("node")
@click.option("--src", "source", required=True, type=_Parsed("address", ip_network, "198.51.100.9"),
              help="Where the packet comes from; a network means every address in it.")  # fmt: skip
@click.option("--sport", type=_PORT, help="Source port [default: any].")
@click.option("--dst", "destination", type=_Parsed("address", ip_address, "192.0.2.1"),
              help="Where it goes [default: the node's own address].")  # fmt: skip
@click.option("--proto", "protocol", default="udp", show_default=True, type=click.Choice(PROTOCOLS),
              help="icmp is ICMPv6 for IPv6 addresses.")  # fmt: skip
@click.option("--dport", type=_PORT, help="Destination port; icmp needs none.")
@click.option("--icmp-type", type=click.IntRange(0, 255), help="ICMP type [default: a ping].")
@click.option("--payload", type=_Parsed("payload", _payload, r"'OPTIONS sip:x SIP/2.0\r\n', hex:0d0a or @file"),
              help=r"Text (\r, \n, \x00 are understood), hex:0d0a, or @file.")  # fmt: skip
@click.option("--state", default="new", show_default=True, type=click.Choice(STATES),
              help="What connection tracking says of it.")  # fmt: skip
@click.option("--rate", default=0.0, type=_Parsed("rate", parse_rate, "30/s, 90/m or 5/h"),
              help="How many of these the source sends, as 30/s [default: this one only].")  # fmt: skip
@click.option("--connections", default=1, show_default=True, type=click.IntRange(0),
              help="Connections that the source holds, this one included.")  # fmt: skip
@click.option("--iface", "interface", help="Interface that it comes in by [default: any but lo].")
@click.option("--kernel", type=_Parsed("version", _kernel, "6.1"),
              help="The node's kernel, where text matches differ between versions.")  # fmt: skip
@click.option("--expect", type=click.Choice([each.value for each in Expectation]),
              help="Exit with 1 if anything else becomes of it.")  # fmt: skip
@click.option("--all", "every", is_flag=True, help="A line for each rule, also for many alike.")
@site_options
def trace_command(
    site: SiteArguments,
    *,
    node: str,
    expect: str | None,
    kernel: tuple[int, int] | None,
    every: bool,
    payload: bytes | None,
    **packet: Any,
) -> int:
    """Show every rule that a packet to NODE would meet, the line of YAML behind it, and what becomes of it.

    It walks the compiled rules and sets, as they would be loaded, in the kernel's own order. What is
    not known (a set that the node fills itself is taken as empty) is said, never guessed.
    """
    if packet["protocol"] != "icmp" and packet["dport"] is None:
        raise UsageError(f"a {packet['protocol']} packet goes to a port", hint="add --dport 5060")
    checked, _ = load_site(site, warn=False)
    target = _node(checked, node)
    mark = Mark("command line", 1, 1)
    probe = Probe("trace", mark=mark, payload=payload or b"", **packet)
    if probe.destination is not None and probe.destination.version != probe.source.version:
        raise UsageError(f"{probe.source} and {probe.destination} are of two address families")
    found = trace(target, compile_node(checked, target, None), probe, kernel=kernel)
    place = rule_place(Places(site_options_of(site)), node)
    if site.json:
        print_json(as_json(found, place))
    else:
        output().print(screen(found, place, owner=_owner(checked, target, probe), every=every))
    return _AS_EXPECTED if expect is None or _is(found, expect) else _OTHERWISE


def _is(found: Trace, expect: str) -> bool:
    return found.verdict is Expectation(expect)


def _node(site: Site, name: str) -> Node:
    if name not in site.nodes:
        near = did_you_mean(name, site.nodes)
        raise UsageError(
            f"no host {name!r} in the inventory{near}", hint="vosctl plan --list-hosts shows them"
        )
    return site.nodes[name]


def _owner(site: Site, node: Node, probe: Probe) -> str:
    return ", ".join(dict.fromkeys(each.who for each in protected(site, node) if each.overlaps(probe.source)))


COMMANDS = (trace_command,)
