"""Real attackers against a node while its peers call: what gets to the SIP port, who is lost, who is shut out.

``python -m pytest -s tests/firewall/test_attack.py`` prints the table of docs/firewall.md.
"""

from __future__ import annotations

import time

import guides_script
import pytest
from attack_lab import CALLEE, PEERS, AttackLab
from attackers import ATTACKS

from vosctl.compile.site import compile_site
from vosctl.site.read import SiteOptions, read_site

pytestmark = [
    pytest.mark.alone,
    pytest.mark.timeout(180),
    pytest.mark.netns,
    pytest.mark.slow,
    pytest.mark.requires("kamailio", "sipp", "sipsak", "iptables-nft", "ip6tables-nft", "ipset", "conntrack"),
]

HOSTS = "all:\n  hosts:\n    edge: {host: 10.232.0.2}\n"
SITE = f"""
demo: true
media: {{calls: 500}}
firewall:
  admin: [198.51.100.5]
  management: {{ssh: [22]}}
gateways:
  one: {{type: mapping, addresses: [{PEERS[0]}], tier: small, codecs: [PCMA]}}
  two: {{type: mapping, addresses: [{PEERS[1]}], tier: small, codecs: [PCMA]}}
  three: {{type: mapping, addresses: [{PEERS[2]}], auth: ip+port, port: 5060, tier: small, codecs: [PCMA]}}
  called: {{type: routing, addresses: [{CALLEE}], tier: medium, codecs: [PCMA]}}
"""
DEVICE = '  device: {type: mapping, auth: password, username: device, password: "Zr77kTq8vB2m", tier: small, codecs: [PCMA]}\n'


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = AttackLab(tmp_path_factory.mktemp("attack"))
    try:
        yield lab.start()
    finally:
        lab.close()


def compiled(folder, text):
    (folder / "group_vars").mkdir(parents=True)
    (folder / "hosts.yml").write_text(HOSTS)
    (folder / "group_vars/all.yml").write_text(text)
    site, problems = read_site(SiteOptions(inventory=(folder / "hosts.yml",)))
    problems.raise_errors()
    return compile_site(site, release=None)["edge"]


def ours(desired):
    """Return how the compiled filter is loaded, as its boot unit does it."""

    def load(lab):
        sets = next(file.content for file in desired.files if file.path.endswith("/firewall/sets"))
        lab.must("nsenter", "ipset", "-exist", "restore", data=sets.decode())
        for ruleset in desired.rulesets:
            tool = "iptables-nft" if ruleset.family == 4 else "ip6tables-nft"
            lab.must("nsenter", f"{tool}-restore", "--noflush", data=ruleset.text)
            for hook in ruleset.hooks:
                lab.must("nsenter", tool, "-t", hook.table, "-I", hook.parent, "1", "-j", hook.chain)

    return load


def guides(lab):
    lab.must("nsenter", "iptables-nft-restore", data=guides_script.restore_input((*PEERS, CALLEE)))


def banned(lab):
    """Return which of the genuine are in a set of bans."""
    saved = lab.command(lab.node, "ipset", "save").stdout.splitlines()
    members = {line.split()[2] for line in saved if line.startswith(("add vos-ban", "add vos-again"))}
    return members & {*PEERS, CALLEE}


def play(lab, load, *, device=True):
    """Return packets sent and packets that got through for each attack, and how the genuine fared."""
    lab.filter(load)
    found = {}
    with lab.genuine(device=device) as told:
        for name, attack in ATTACKS.items():
            before = lab.counted()
            attack(lab)
            time.sleep(0.05)
            found[name] = tuple(now - then for now, then in zip(lab.counted(), before, strict=True))
            lab.hang_up()
    told["banned"] = len(banned(lab))
    return found, told


def table(columns):
    """Return the results as a Markdown table."""
    names = list(columns)
    lines = [
        "| attack | " + " | ".join(f"{name}: reached / sent" for name in names) + " |",
        "|---|" + "---:|" * len(names),
    ]
    for attack in ATTACKS:
        cells = [f"{columns[name][0][attack][1]:,} / {columns[name][0][attack][0]:,}" for name in names]
        lines.append(f"| {attack} | " + " | ".join(cells) + " |")
    for title, key in (
        ("genuine calls lost / placed", ("lost", "good")),
        ("genuine requests sent twice", ("again",)),
        ("registrations lost / made", ("unregistered", "registered")),
        ("peers banned", ("banned",)),
    ):
        cells = [_cell(columns[name][1], *key) for name in names]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(told, part, rest=None):
    if part not in told:
        return "–"
    return f"{told[part]:,}" + (f" / {told[part] + told[rest]:,}" if rest else "")


def test_under_attack_the_peers_notice_nothing(lab, tmp_path, capsys):
    columns = {
        "guides' script": play(lab, guides),
        "vosctl": play(lab, ours(compiled(tmp_path / "strict", SITE)), device=False),
        "vosctl, a gateway with a password": play(lab, ours(compiled(tmp_path / "password", SITE + DEVICE))),
    }
    with capsys.disabled():
        print(f"\n{table(columns)}")
    for (_, told), own in zip(columns.values(), (False, True, True), strict=True):
        assert told["good"] > 250
        if own:
            assert told["lost"] == told["banned"] == told.get("unregistered", 0) == 0
    named = (
        "svmap",
        "svwar, REGISTER",
        "svcrack",
        "sipsak",
        "evasions, IPv4",
        "evasions, IPv6",
        "spoofed device",
    )
    script, strict, password = (
        {attack: reached for attack, (_, reached) in found.items()} for found, _ in columns.values()
    )
    # In the name of a trusted peer anything passes, and nothing comes of it.
    assert {attack: reached for attack, reached in strict.items() if reached} == {"spoofed peers": 300}
    assert {attack: password[attack] for attack in named} == dict.fromkeys(named, 0)
    # What may be a device with a password gets through up to its budget.
    assert password["brute force after a 401"] == 1
    assert password["svcrack, another name"] < 40
    assert password["sipp flood, 1 source"] < 300
    assert script["svcrack"] > 50
    assert script["evasions, IPv6"] == 17
