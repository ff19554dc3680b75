"""What must pass, proven on the compiled rules: signalling of gateways and media, whatever else is known."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from site_samples import firewall, gateway, node, site, two_edges

from vosctl.compile.site import compile_site
from vosctl.firewall.proof import failures, obstacles
from vosctl.site.model import Auth, Unmatched


def rules_first(desired, *rules):
    """Return the node's filter with other rules in front of its own."""
    text = "".join(f"-A VOS-INPUT {rule}\n" for rule in rules)
    changed = tuple(
        replace(each, text=each.text.replace("-A VOS-INPUT", f"{text}-A VOS-INPUT", 1))
        for each in desired.rulesets
    )
    return replace(desired, rulesets=changed)


def test_the_sample_lets_its_gateways_and_media_pass(edge_a):
    own = two_edges().nodes["edge-a"]
    assert list(obstacles(own, edge_a)) == []
    assert list(failures(own, edge_a)) == []


@pytest.mark.parametrize("default", list(Unmatched))
@pytest.mark.parametrize("auth", [Auth.IP, Auth.IP_PORT])
def test_every_mode_and_family_passes(default, auth):
    acme = gateway("acme", "203.0.113.0/28", "2001:db8:10::/64", auth=auth, port=5080)
    own = node("edge-a", "10.231.0.2", (acme,), firewall=firewall(default=default))
    assert list(obstacles(own, compile_site(site(own), release=None)["edge-a"])) == []


@pytest.mark.parametrize(
    ("rule", "who", "sure"),
    [
        ("-s 203.0.113.10/32 -j DROP", "acme", True),
        ("-s 203.0.113.20/32 -p tcp -m tcp --dport 5061 -j DROP", "bolt", True),
        ("-p tcp -m tcp --dport 5060 -m conntrack --ctstate ESTABLISHED -j DROP", "acme", True),
        ("-s 203.0.113.10/32 -m string --string x --algo bm -j DROP", "acme", False),
        ("-s 203.0.113.10/32 -m hashlimit --hashlimit-above 9/sec --hashlimit-mode srcip --hashlimit-name a -j DROP",
         "acme", False),
        ("-s 203.0.113.10/32 -m recent --rcheck -j DROP", "acme", False),
        ("-s 203.0.113.10/32 -m set --match-set vos-ban4 src -j DROP", "acme", False),
        ("-d 10.231.0.2 -p udp -m udp --dport 32767 -j DROP", "media", True),
        ("-p udp -m udp --dport 16384 -s 192.0.2.0/24 -j DROP", "media", False),
        ("-s 203.0.113.99 -p tcp -j DROP", "", True),
    ],
)  # fmt: skip
def test_what_stands_in_the_way_is_told(edge_a, rule, who, sure):
    found = [
        each for each in obstacles(two_edges().nodes["edge-a"], rules_first(edge_a, rule)) if who in each.what
    ]
    if not who:
        assert found == []
        return
    assert found[0].sure is sure
    assert rule.split(" -j")[0].split()[-1] in found[0].rule


def test_password_gateways_are_strangers_and_promise_nothing():
    cube = gateway("cube", "203.0.113.77/32", auth=Auth.PASSWORD, username="cube")
    own = node("edge-a", "10.231.0.2", (cube,))
    desired = rules_first(compile_site(site(own), release=None)["edge-a"], "-s 203.0.113.77 -j DROP")
    assert [each.what for each in obstacles(own, desired) if "cube" in each.what] == []
