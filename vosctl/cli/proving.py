"""Holds the compiled packet filters against what the site asks of them: its tests, its gateways, its media."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from vosctl.cli.rule_place import rule_place
from vosctl.compile.desired import Desired
from vosctl.firewall.proof import Failure, Obstacle, failures, obstacles
from vosctl.site.model import Node, Site
from vosctl.site.places import joined
from vosctl.site.problems import Problem, Problems, Severity
from vosctl.site.suggest import listed
from vosctl.site.tree import Mark
from vosctl.site.written import Places

if TYPE_CHECKING:
    from vosctl.firewall.analysis.shadows import Shadow

_OWN_ADDRESS = re.compile(r" -d \S+")


def prove(site: Site, desired: Mapping[str, Desired], places: Places, *, analyse: bool = False) -> Problems:
    """Return what the compiled filters do otherwise than the site asks, each finding once with its nodes.

    With ``analyse``, rules that no packet can reach are warnings, too.
    """
    found: dict[Problem, list[str]] = {}
    known: dict[tuple[str, ...], list[Shadow]] = {}
    clear: set[tuple[object, ...]] = set()
    for name, node in desired.items():
        hidden = _shadowed(name, node, places, known) if analyse else ()
        for problem in dict.fromkeys((*_of_node(site.nodes[name], node, places, clear), *hidden)):
            found.setdefault(problem, []).append(name)
    problems = Problems()
    for problem, nodes in found.items():
        message = f"{problem.message} (on {listed(nodes, most=3)})"
        problems.found.append(replace(problem, message=message))
    return problems


def _of_node(
    node: Node, desired: Desired, places: Places, clear: set[tuple[object, ...]]
) -> Iterator[Problem]:
    """Yield the node's findings; ``clear`` remembers filters that keep nothing out, for the nodes that share them."""
    if not desired.rulesets:
        return
    for failure in failures(node, desired):
        yield _failed(node, failure, places)
    key = _sameness(node, desired)
    if key in clear:
        return
    free = True
    for obstacle in obstacles(node, desired):
        free = False
        yield _shut_out(node, obstacle, places)
    if free:
        clear.add(key)


def _sameness(node: Node, desired: Desired) -> tuple[object, ...]:
    """Return what nodes must have in common that differ in their own addresses only."""
    own = dict.fromkeys((*map(str, node.relay.addresses), node.connection.host))
    names = {address: f"own-{number}" for number, address in enumerate(own)}
    return (
        *(_OWN_ADDRESS.sub(lambda found: _named(found[0], names), each.text) for each in desired.rulesets),
        *(ipset.digest for ipset in desired.sets),
        *map(id, node.gateways.values()),
        node.relay.enabled and (node.relay.ports, tuple(names.values())),
        node.firewall.sip_udp,
        node.firewall.sip_tcp,
        node.firewall.sip_tls,
    )


def _named(rule: str, names: Mapping[str, str]) -> str:
    address = rule.removeprefix(" -d ").partition("/")[0]
    return names.get(address, rule)


def _failed(node: Node, failure: Failure, places: Places) -> Problem:
    probe, trace = failure.probe, failure.trace
    path = f"firewall.tests.{probe.name}"
    if trace is None:
        return Problem("firewall-test", f"the test cannot be run: {failure.reason}", probe.mark, path)
    verdict = trace.verdict.value if trace.verdict else "not known"
    by = trace.unknown
    if trace.cause is not None:
        rule = trace.cause.rule
        by = (
            f"rule {rule.number} of {rule.chain}, {rule.purpose} ({rule_place(places, node.name)(rule.path)})"
        )
    expected = probe.expect.value if probe.expect else "anything"
    from vosctl.report.trace import described  # noqa: PLC0415  rich and all, where something is wrong

    message = f"expected {expected}, but it is {verdict}: {described(trace.packet)}: {by}"
    hint = f"vosctl trace {node.name} with the same values shows every rule it meets"
    return Problem("firewall-test", message, probe.mark, path, hint)


def _shut_out(node: Node, obstacle: Obstacle, places: Places) -> Problem:
    path = joined(obstacle.path)
    mark = places.find(node.name, path) or node.mark
    if obstacle.sure:
        message = f"the firewall would drop the {obstacle.what}: {obstacle.rule}"
        return Problem("firewall-shuts-out", message, mark, path, "vosctl trace shows each rule it meets")
    message = (
        f"it is not proven that the firewall lets the {obstacle.what} pass: it depends on {obstacle.rule}"
    )
    hint = "vosctl trace shows each rule it may meet"
    return Problem("firewall-unproven", message, mark, path, hint, Severity.WARNING)


def _shadowed(
    name: str, desired: Desired, places: Places, known: dict[tuple[str, ...], list[Shadow]]
) -> Iterator[Problem]:
    """Yield the node's shadowed rules; nodes that differ in their own addresses only are analysed once."""
    from vosctl.firewall.analysis.shadows import shadows  # noqa: PLC0415  20 ms that an apply need not wait for

    place = rule_place(places, name)
    for ruleset in desired.rulesets:
        key = (_OWN_ADDRESS.sub("", ruleset.text), *(ipset.digest for ipset in desired.sets))
        if key not in known:
            known[key] = list(shadows(ruleset, desired.sets))
        for shadow in known[key]:
            rule = shadow.rule
            paths = dict.fromkeys(each.path for each in shadow.by if each.path != rule.path)
            by = ", ".join(f"{path} ({place(path)})" for path in paths) or "others of its kind"
            mark = places.find(name, rule.path.partition(", ")[0]) or Mark(name, 1, 1)
            message = (
                f"no packet reaches the rule '{rule.purpose}': {by} comes first and takes all that it matches"
            )
            hint = "it does nothing: take it out, or give it a port or network that the others leave"
            yield Problem("firewall-shadowed", message, mark, rule.path, hint, Severity.WARNING)
