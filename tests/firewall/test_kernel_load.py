"""The compiled rules in the kernel: accepted by both backends, given back as written, seen alike by an oracle."""

from __future__ import annotations

import json
import sys
from ipaddress import ip_network

import pytest
from msgspec.structs import replace
from packet_lab import run
from site_samples import firewall, gateway, node, relay, site, two_edges

from vosctl.compile.site import compile_site
from vosctl.firewall import chains, emit, ir, policy
from vosctl.firewall.signatures import SHIPPED
from vosctl.site.model import Auth, Budget, Signature, Unmatched

pytestmark = [pytest.mark.netns, pytest.mark.requires("iptables", "ip6tables", "ipset")]

ORACLE = """
import iptc, json, sys
family, name = int(sys.argv[1]), sys.argv[2]
found = []
for chain in (iptc.Table if family == 4 else iptc.Table6)(name).chains:
    for rule in chain.rules:
        found.append([
            family, name, chain.name, rule.protocol, rule.src, rule.dst, rule.in_interface or "",
            rule.target.name, [[match.name, match.get_all_parameters()] for match in rule.matches],
        ])
print(json.dumps(found))
"""


def oracle(lab):
    """Return what python-iptables finds, each table in a process of its own: it registers a target once."""
    command = ("ip", "netns", "exec", lab.node, sys.executable, "-c", ORACLE)
    tables = [(family, name) for family in ("4", "6") for name in ("raw", "mangle", "filter")]
    return [entry for table in tables for entry in json.loads(run(*command, *table).stdout)]


def own_lines(text):
    """Return chains and rules by table, without counters and other people's chains."""
    table, found = "", []
    for line in text.splitlines():
        words = line.split(" ", 1)[1] if line.startswith("[") else line
        table = line if line.startswith("*") else table
        if words.startswith("-A VOS-") or line.startswith(":VOS-"):
            found.append((table, words.split(" [")[0]))
    return found


def test_kernel_gives_back_what_was_compiled(lab, edge_a):
    for ruleset in edge_a.rulesets:
        wanted, held = own_lines(ruleset.text), own_lines(lab.saved(ruleset.family))
        assert sorted(held) == sorted(wanted)
        assert [line for line in held if line[1].startswith("-A VOS-INPUT")] == [
            line for line in wanted if line[1].startswith("-A VOS-INPUT")
        ]


def test_kernel_holds_the_sets(lab, edge_a):
    held = lab.in_node("ipset", "save").stdout.splitlines()
    added = {(line.split()[1], line.split()[2]) for line in held if line.startswith("add")}
    assert added == {(each.name, member) for each in edge_a.sets for member in each.members}
    created = {line.split()[1]: line for line in held if line.startswith("create")}
    assert set(created) == {each.name for each in edge_a.sets}
    for each in edge_a.sets:
        assert f"{each.type} " in created[each.name]
        assert f"maxelem {each.maxelem} " in created[each.name]


def test_members_are_spelled_as_the_kernel_does(lab):
    written = (
        "2001:DB8::00AB",
        "::ffff:192.0.2.0/120",
        "0.0.0.0/1",
        "2001:db8:0:1:0:0:0:1",
        "203.0.113.7/32",
    )
    anybody = gateway("x", "0.0.0.0/0", "::/0")
    port = gateway("y", "::FFFF:198.51.100.9/128", auth=Auth.IP_PORT, port=5080)
    made = node(
        "edge-a",
        "10.231.0.2",
        (anybody, port),
        firewall=firewall(trusted=tuple(ip_network(each) for each in written)),
    )
    desired = compile_site(site(made), release=None)["edge-a"]
    lab.use(desired)
    held = lab.in_node("ipset", "save").stdout.splitlines()
    for each in desired.sets:
        found = tuple(
            sorted(
                line.split()[2] for line in held if line.startswith("add") and line.split()[1] == each.name
            )
        )
        assert found == each.members


def test_loading_twice_changes_nothing(lab, edge_a):
    before = [own_lines(lab.saved(family)) for family in (4, 6)]
    members = sorted(lab.in_node("ipset", "list", "-name").stdout.split())
    lab.load(edge_a)
    assert [own_lines(lab.saved(family)) for family in (4, 6)] == before
    assert sorted(lab.in_node("ipset", "list", "-name").stdout.split()) == members
    assert lab.saved(4).count("-j VOS-INPUT") == 1


def test_other_peoples_rules_stay(lab, edge_a):
    lab.in_node(lab.tool("iptables"), "-A", "INPUT", "-s", "192.0.2.99", "-j", "ACCEPT")
    lab.load(edge_a)
    assert "-A INPUT -s 192.0.2.99/32 -j ACCEPT" in lab.saved(4)
    lab.in_node(lab.tool("iptables"), "-D", "INPUT", "-s", "192.0.2.99", "-j", "ACCEPT")


@pytest.mark.parametrize("rate", [1, 7, 300, 4321, 10000])
def test_every_budget_is_spelled_as_the_kernel_does(lab, rate):
    budgets = {name: Budget(rate, rate + 4) for name in ("REGISTER", "INVITE", "OPTIONS", "other")}
    stranger = gateway("cube", auth=Auth.PASSWORD)
    made = node("edge-a", "10.231.0.2", (stranger,), firewall=firewall(budgets=budgets))
    desired = compile_site(site(made), release=None)["edge-a"]
    lab.use(desired)
    for ruleset in desired.rulesets:
        assert sorted(own_lines(lab.saved(ruleset.family))) == sorted(own_lines(ruleset.text))


def test_odd_policies_load_and_come_back(lab):
    odd = firewall(
        signatures=(*SHIPPED, Signature('quo"ted \\ wörd', "a test"), Signature("INVITE sip:100@", "a test")),
        sip_udp=tuple(range(5060, 5092)),
        management={"ssh": tuple(range(2200, 2240)), "none": ()},
        admin=(),
        default=Unmatched.RETURN,
        network_factor=1,
    )
    plain = node("edge-a", "10.231.0.2", firewall=odd, relay=relay("10.231.0.2", enabled=False))
    anybody = {"x": gateway("x", "0.0.0.0/0", "::/0"), "y": gateway("y", auth=Auth.PASSWORD)}
    for made in (plain, replace(plain, gateways=anybody)):
        desired = compile_site(site(made), release=None)["edge-a"]
        lab.use(desired)
        for ruleset in desired.rulesets:
            assert sorted(own_lines(lab.saved(ruleset.family))) == sorted(own_lines(ruleset.text))


def some_rules():
    origin = ir.Origin("firewall", "a test")
    ban, proof = "vos-ban{}", "vos-proof{}"
    return [
        (ir.AddToSet(ban, 600), None, (ir.InSet(ban, negated=True), ir.State(("ESTABLISHED",), original=True))),
        (ir.AddToSet(proof, 60, answered=True), "tcp", (ir.Flags(("SYN", "RST", "PSH"), ("PSH",)),)),
        (ir.Log("vos:signature", 5), None, (ir.Limit(7, 3),)),
        (ir.Log("vos:signature", None), None, (ir.Limit(59, 10),)),
        (ir.Verdict.DROP, "tcp", (ir.State(("INVALID",)),)),
        (ir.Verdict.DROP, "tcp", (ir.Flags(("FIN", "SYN", "RST", "PSH", "ACK"), ()),)),
        (ir.Verdict.DROP, "tcp", (ir.Text("\nUser-Agent: x", 40, 1064, any_case=True, algorithm=ir.Algorithm.BOYER_MOORE),)),
    ], origin  # fmt: skip


@pytest.mark.parametrize("family", [4, 6])
def test_every_match_and_target_comes_back_as_written(bare_lab, family):
    bare_lab.wipe()
    inet = "inet" if family == 4 else "inet6"
    bare_lab.in_node("ipset", "create", f"vos-ban{family}", "hash:net", "family", inet, "timeout", "600")
    bare_lab.in_node("ipset", "create", f"vos-proof{family}", "hash:ip,port", "family", inet, "timeout", "60")
    found, origin = some_rules()
    made = tuple(
        ir.Rule(
            named(target, family), origin, protocol, matches=tuple(named(each, family) for each in matches)
        )
        for target, protocol, matches in found
    )
    text = emit.ruleset(ir.Program(family, (ir.Chain("filter", "VOS-TEST", made),))).text
    bare_lab.in_node(
        bare_lab.tool("iptables-restore" if family == 4 else "ip6tables-restore"), "--noflush", data=text
    )
    assert own_lines(bare_lab.saved(family)) == own_lines(text)
    bare_lab.wipe()


def named(part, family):
    return replace(part, name=part.name.format(family)) if isinstance(part, ir.InSet | ir.AddToSet) else part


@pytest.mark.parametrize("bare_lab", ["legacy"], indirect=True)  # the oracle reads no others
def test_python_iptables_sees_every_rule(lab, edge_a):
    held = oracle(lab)
    own = [entry for entry in held if entry[2].startswith("VOS-")]
    wanted = [
        expected(program.family, chain, rule)
        for program in programs()
        for chain in program.chains
        for rule in chain.rules
    ]
    key = json.dumps
    assert sorted(map(key, own)) == sorted(map(key, wanted))
    hooks = [(entry[0], entry[1], entry[2], entry[7]) for entry in held if not entry[2].startswith("VOS-")]
    assert sorted(hooks) == sorted(
        (each.family, hook.table, hook.parent, hook.chain) for each in edge_a.rulesets for hook in each.hooks
    )


def programs():
    sample = two_edges()
    found = policy.policy_of(sample, sample.nodes["edge-a"])
    return [chains.build(found, family) for family in (4, 6)]


def expected(family, chain, rule):
    protocol = rule.protocol or "ip"
    if protocol == "icmp" and family == 6:
        protocol = "icmpv6"
    matches = [oracle_match(match, rule, family) for match in rule.matches]
    comment = f"{rule.origin.path}: {rule.origin.purpose}"
    return [
        family, chain.table, chain.name, protocol, network(rule.source, family), network(rule.destination, family),
        rule.interface or "", oracle_target(rule.target), [*matches, ["comment", {"comment": [comment]}]],
    ]  # fmt: skip


def network(found, family):
    if family == 4:
        return f"{found.network_address}/{found.netmask}" if found else "0.0.0.0/0.0.0.0"
    return str(found) if found else "::/0"


def oracle_target(target):
    if isinstance(target, ir.Verdict):
        return target.value
    names = {ir.NoTrack: "CT", ir.SetDscp: "DSCP", ir.Log: "NFLOG", ir.AddToSet: "SET"}
    return names.get(type(target)) or target.chain


def oracle_match(match, rule, family):
    return [*ORACLE_MATCHES[type(match)](match, rule, family)]


def oracle_ports(match, rule, _family):
    option = {"source": "sport", "destination": "dport", "either": "port"}[match.side.value]
    texts = [f"{r.first}" if r.first == r.last else f"{r.first}:{r.last}" for r in match.ranges]
    if len(texts) == 1 and option != "port" and not any(isinstance(m, ir.Flags) for m in rule.matches):
        return rule.protocol, {option: texts}
    return "multiport", {f"{option}s": [",".join(texts)]}


def oracle_above(match, _rule, family):
    parameters = {
        "hashlimit-above": [f"{match.rate}/sec"],
        "hashlimit-burst": [str(match.burst)],
        "hashlimit-mode": ["srcip"],
        "hashlimit-name": [match.name],
        "hashlimit-htable-size": [str(match.buckets)],
        "hashlimit-htable-max": [str(match.entries)],
        "hashlimit-htable-expire": [str(match.expire)],
    }
    if match.prefix != (32 if family == 4 else 128):
        parameters["hashlimit-srcmask"] = [str(match.prefix)]
    return "hashlimit", parameters


def oracle_text(match, _rule, _family):
    printable = match.text.isprintable() and match.text.isascii()
    parameters = {
        "string" if printable else "hex-string": [
            match.text if printable else f"|{match.text.encode().hex()}|"
        ],
        "algo": [match.algorithm.value],
        "from": [str(match.first)],
        "to": [str(match.last)],
    }
    return "string", {**parameters, **({"icase": []} if match.any_case else {})}


ORACLE_MATCHES = {
    ir.Ports: oracle_ports,
    ir.Above: oracle_above,
    ir.Text: oracle_text,
    ir.InSet: lambda m, r, f: (
        "set",
        {"match-set": [*["!"] * m.negated, m.name, "src,src" if m.with_port else "src"]},
    ),
    ir.ConnectionsAbove: lambda m, r, f: (
        "connlimit",
        {"connlimit-above": [str(m.count)], "connlimit-mask": [str(m.prefix)], "connlimit-saddr": []},
    ),
    ir.State: lambda m, r, f: (
        "conntrack",
        {"ctstate": [",".join(m.states)], **({"ctdir": ["ORIGINAL"]} if m.original else {})},
    ),
    ir.Limit: lambda m, r, f: ("limit", {"limit": [f"{m.rate}/min"], "limit-burst": [str(m.burst)]}),
    ir.Flags: lambda m, r, f: ("tcp", {"tcp-flags": [",".join(m.examined), ",".join(m.present)]}),
    ir.NotSyn: lambda m, r, f: ("tcp", {"tcp-flags": ["!", "FIN,SYN,RST,ACK", "SYN"]}),
    ir.Longer: lambda m, r, f: ("length", {"length": [f"{m.size + 1}:65535"]}),
    ir.ExtraHeaders: lambda m, r, f: (
        "u32",
        {"u32": ["!", "0x0>>0x18&0xf=0x5" if f == 4 else "0x4>>0x8&0xff=0x11"]},
    ),
    ir.LeadingBlank: lambda m, r, f: (
        "u32",
        {"u32": [f"{'0x1c' if f == 4 else '0x30'}>>0x18=0x9:0xd,0x20"]},
    ),
    ir.IcmpType: lambda m, r, f: (
        ("icmp", {"icmp-type": [str(m.number)]}) if f == 4 else ("icmp6", {"icmpv6-type": [str(m.number)]})
    ),
    ir.HopLimit: lambda m, r, f: ("hl", {"hl-eq": [str(m.value)]}),
    ir.Dscp: lambda m, r, f: ("dscp", {"dscp": [f"0x{m.value:02x}"]}),
}
