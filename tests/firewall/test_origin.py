"""Every rule leads back to lines of YAML that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from vosctl.compile.site import compile_site
from vosctl.firewall.origin import origin_lines, origin_of
from vosctl.site.filtering import Logging, LogTo
from vosctl.site.model import Unmatched
from vosctl.site.problems import Problems
from vosctl.site.read import SiteOptions, read_inputs, read_site
from vosctl.site.variables.explain import explain
from vosctl.site.written import Places

ROOT = Path(__file__).parents[2]
EXAMPLE = SiteOptions(playbook=ROOT / "playbooks/site.yml")
POSITIVE = sorted(path.parent for path in (ROOT / "tests/site/positive").glob("*/hosts.yml"))
SITES = [EXAMPLE, *(SiteOptions(inventory=(path,)) for path in POSITIVE)]


def comments(desired):
    return {comment for each in desired.rulesets for comment in re.findall(r'--comment "([^"]*)"', each.text)}


def variants(site):
    """The site as it is, and with everything that may be otherwise otherwise."""
    yield site
    turned = {}
    for name, node in site.nodes.items():
        firewall = replace(node.firewall, default=Unmatched.RETURN, log=Logging(LogTo.NONE))
        turned[name] = replace(node, firewall=firewall)
    yield replace(site, nodes=turned)


@pytest.mark.parametrize("options", SITES, ids=lambda each: (each.playbook or each.inventory[0]).name)
def test_every_rule_has_its_lines(options):
    site, _ = read_site(options)
    places = Places(options)
    for variant in variants(site):
        for node, desired in compile_site(variant, release=None).items():
            for comment in comments(desired):
                origin = origin_of(comment)
                marks = origin_lines(places, node, origin)
                assert marks, comment
                for mark in marks:
                    lines = (
                        Path(mark.file).read_text().splitlines()
                        if Path(mark.file).exists()
                        else [""] * mark.line
                    )
                    assert 0 < mark.line <= len(lines)


def test_the_lines_are_those_that_explain_names():
    inputs = read_inputs(EXAMPLE, Problems())
    places = Places(EXAMPLE)
    for path in (
        "firewall.admin",
        "firewall.signatures.add[0]",
        "firewall.budgets.INVITE",
        "gateways.callshop.tier",
    ):
        last = [
            layer for layer in explain(inputs.inventory, "edge-a", (), (), path) if layer.value is not None
        ][-1]
        (mark,) = origin_lines(places, "edge-a", origin_of(f"{path}: a test"))
        assert (mark.file, mark.line) == (last.mark.file, last.mark.line)


def test_the_sites_own_signature_leads_to_its_line():
    places = Places(EXAMPLE)
    site, _ = read_site(EXAMPLE)
    own = [
        each for each in comments(compile_site(site, release=None)["edge-a"]) if each.endswith(": sip-prober")
    ]
    assert own == ["firewall.signatures.add[0]: sip-prober"]
    (mark,) = origin_lines(places, "edge-a", origin_of(own[0]))
    assert "sip-prober" in (ROOT / mark.file).read_text().splitlines()[mark.line - 1]
