"""What can be said of the rules without a kernel."""

from __future__ import annotations

import re
from ipaddress import ip_network

import pytest
from msgspec.structs import replace
from site_samples import firewall, gateway, node, site, two_edges

from vosctl.compile.site import compile_site
from vosctl.errors import VosctlError
from vosctl.firewall import chains, ir, meter, policy, sets
from vosctl.firewall.emit import rule_text
from vosctl.firewall.signatures import GENUINE, SHIPPED, is_request_line, resolve
from vosctl.firewall.spelling import network_text
from vosctl.site.model import Auth, Budget, Signature


def stranger_node(policy):
    """A node with one gateway that is known by its password."""
    return node("edge-a", "10.231.0.2", (gateway("cube", auth=Auth.PASSWORD),), firewall=policy)


ROOTS = r"(firewall|gateways|trunks|relay|qos)\b"


@pytest.fixture(params=[4, 6])
def program(request):
    sample = two_edges()
    return chains.build(policy.policy_of(sample, sample.nodes["edge-a"]), request.param)


def rules(program):
    return [(chain, rule) for chain in program.chains for rule in chain.rules]


def test_every_rule_names_the_tree_behind_it(program):
    for chain, rule in rules(program):
        assert re.match(ROOTS, rule.origin.path), rule
        text = rule_text(chain.name, rule, program.family)
        assert f'-m comment --comment "{rule.origin.path}: ' in text
        assert len(re.search(r'--comment "([^"]*)"', text)[1]) <= 255


def test_names_stay_within_what_the_kernel_takes(program, edge_a):
    for chain in program.chains:
        assert chain.name.startswith("VOS-")
        assert len(chain.name) <= 28
    for each in edge_a.sets:
        assert each.name.startswith("vos-")
        assert len(each.name) <= 29
    for name in {
        match.name for _, rule in rules(program) for match in rule.matches if isinstance(match, ir.Above)
    }:
        assert len(name) <= 15


def test_every_jump_has_its_chain_and_every_chain_is_entered(program):
    named = {chain.name for chain in program.chains}
    jumped = {rule.target.chain for _, rule in rules(program) if isinstance(rule.target, ir.Jump)}
    assert jumped <= named
    assert named - jumped == {chain.name for chain in program.chains if chain.parent}


def test_sip_is_filtered_before_established_flows_pass(program):
    entry = next(chain for chain in program.chains if chain.parent == "INPUT")
    kinds = [rule.target for rule in entry.rules]
    established = next(
        at for at, rule in enumerate(entry.rules) if ir.State(("RELATED", "ESTABLISHED")) in rule.matches
    )
    assert max(kinds.index(ir.Jump("VOS-SIP")), kinds.index(ir.Jump("VOS-SIP-TCP"))) < established
    assert entry.rules[0].interface == "lo"
    assert entry.rules[-1].target == ir.Jump("VOS-DROP-UNWANTED")
    assert not entry.rules[-1].matches


def test_a_table_name_stands_for_one_set_of_parameters(program):
    found = {}
    for _, rule in rules(program):
        for match in rule.matches:
            if isinstance(match, ir.Above):
                assert found.setdefault(match.name, match) == match
    other = meter.over_budget("reg", Budget(3, 10), family=4, prefix=32)
    assert other.name != meter.over_budget("reg", Budget(2, 10), family=4, prefix=32).name


def test_a_budget_is_remembered_until_it_is_full_again():
    assert meter.over_budget("reg", Budget(2, 21), family=4, prefix=32).expire == 12_000
    assert meter.over_budget("reg", Budget(100, 10), family=4, prefix=32).expire == 2_000


def test_no_shipped_word_hits_a_genuine_device():
    words = [each.text.casefold() for each in SHIPPED]
    assert len(words) == len(set(words))
    for genuine in GENUINE:
        assert not any(genuine.startswith(word) or word == genuine for word in words)
    assert all(each.source for each in SHIPPED)


def test_signatures_are_added_and_removed_in_any_letter_case():
    own = Signature("sip-prober", "a log")
    found = resolve([own], ["SIPCLI", "options SIP:"])
    assert own in found
    assert not {"sipcli", "options sip:"} & {each.text.casefold() for each in found}
    assert len(found) == len(SHIPPED) - 1
    again = Signature("SipSak", "a log")
    assert [each for each in resolve([again]) if each.text.casefold() == "sipsak"] == [again]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("OPTIONS sip:", True), ("INVITE sip:100@", True), ("PortSIP VoIP SDK", False), ("OPTIONS", False)],
)
def test_a_request_line_begins_with_a_method(text, expected):
    assert is_request_line(Signature(text, "")) is expected


def test_a_signature_that_the_kernel_cannot_search_is_an_error_with_a_hint():
    made = stranger_node(firewall(signatures=(Signature("x" * 120, "a log"),)))
    with pytest.raises(VosctlError, match=r"firewall\.signatures: 'xxx") as caught:
        compile_site(site(made), release=None)
    assert "at most 115 bytes" in caught.value.hint


def test_what_people_write_cannot_leave_its_comment():
    odd = Signature('"; -j ACCEPT #\n-A INPUT', "a log")
    made = stranger_node(firewall(signatures=(odd,)))
    text = compile_site(site(made), release=None)["edge-a"].rulesets[0].text
    assert text.count('_; -j ACCEPT __-A INPUT"') == 2 * 2  # two spellings of the header, over UDP and TCP
    assert all(line[0] in "*:-C" and "\t" not in line for line in text.splitlines())


def test_peers_are_gateways_by_address_trusted_networks_and_trunk_ends():
    sample = two_edges()
    found = {each.name: each for each in sets.build(policy.policy_of(sample, sample.nodes["edge-b"]))}
    assert found["vos-peers4"].members == ("10.231.0.2", "192.0.2.20", "192.0.2.50")
    assert found["vos-peers6"].members == ("2001:db8:77::/64", "fd00:231::2")
    assert found["vos-ports4"].members == ()


def test_a_gateway_with_a_password_is_no_peer_even_with_an_address():
    cube = gateway("cube", "203.0.113.30/32", auth=Auth.PASSWORD)
    found = policy.policy_of(site(), node("edge-a", "10.231.0.2", (cube,), firewall=firewall(trusted=())))
    assert (found.peers, found.port_peers, found.strangers) == ((), (), True)


def test_a_trunk_to_a_host_with_a_name_trusts_the_relays_addresses():
    sample = two_edges()
    far = sample.nodes["edge-b"]
    far = replace(far, connection=replace(far.connection, host="edge-b.example"))
    named = replace(sample, nodes={**sample.nodes, "edge-b": far})
    found = policy.policy_of(named, named.nodes["edge-a"])
    assert "10.231.0.3/32" in map(str, found.peers)


def test_large_sets_get_room():
    many = firewall(
        trusted=tuple(type(firewall().trusted[0])((0x0B000000 + at * 4, 30)) for at in range(70_000))
    )
    found = sets.build(policy.policy_of(site(), node("edge-a", "10.231.0.2", firewall=many)))
    peers = next(each for each in found if each.name == "vos-peers4")
    assert len(peers.members) == 70_000
    assert peers.maxelem == 1 << 18


@pytest.mark.parametrize(
    ("written", "spelled"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.1/32", "192.0.2.1"),
        ("2001:DB8::00AB/128", "2001:db8::ab"),
        ("::ffff:192.0.2.0/120", "::ffff:192.0.2.0/120"),
        ("2001:db8:0:1:0:0:0:1/128", "2001:db8:0:1::1"),
    ],
)
def test_addresses_are_spelled_as_the_kernels_tools_do(written, spelled):
    assert network_text(ip_network(written)) == spelled
