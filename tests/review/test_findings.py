"""What a review says of a change of the example site: subject, words, risks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from review_samples import edit, findings, git

from vosctl.review import make

ALL = "inventory/group_vars/all/"
A, B = "inventory/host_vars/edge-a.yml", "inventory/host_vars/edge-b.yml"
MAIN, TRUNKS, RATES = ALL + "main.yml", ALL + "trunks.yml", ALL + "rates.yml"
ACME = "gateway acme"

CASES = {
    "an address moves": (
        A, ("addresses: [10.231.0.10]", "addresses: [10.231.0.12]"), "gateway",
        (ACME, "addresses + 10.231.0.12/32 − 10.231.0.10/32", ("drops-peer",)),
    ),
    "an address more": (
        A, ("addresses: [10.231.0.10]", "addresses: [10.231.0.10, 10.231.0.12]"), "gateway",
        (ACME, "addresses + 10.231.0.12/32", ()),
    ),
    "a codec less": (
        A, ("codecs: [PCMA, PCMU, G729]", "codecs: [PCMA, PCMU]"), "gateway",
        (ACME, "codecs − G729", ("narrows-codecs",)),
    ),
    "codecs in another order": (
        A, ("codecs: [PCMA, PCMU, G729]", "codecs: [G729, PCMA, PCMU]"), "gateway",
        (ACME, "order of codecs PCMA, PCMU, G729 → G729, PCMA, PCMU", ()),
    ),
    "a lower limit": (
        A, ("limits: {cps: 60}", "limits: {cps: 40}"), "gateway",
        ("gateway bluefin", "calls a second 60 → 40", ("lowers-limit",)),
    ),
    "a higher limit": (
        A, ("limits: {cps: 60}", "limits: {cps: 90}"), "gateway",
        ("gateway bluefin", "calls a second 60 → 90", ()),
    ),
    "another jitter buffer": (
        A, ("media: {jitter: lan}", "media: {jitter: wan}"), "gateway",
        ("gateway quartz", "jitter buffer lan (adaptive, 10-80 ms from 20) → wan (adaptive, 20-200 ms from 60)", ()),
    ),
    "another password": (
        A, ('password: "Tm4wK9xQz2Rb"', 'password: "Tm4wK9xQz2Rc"'), "gateway",
        ("gateway callshop", "another password", ()),
    ),
    "another guard": (
        A, ("lowest: 0.00002", "lowest: 0.00001"), "gateway",
        ("gateway quartz", "profit guard: lowest profit 0.00002 → 0.00001", ()),
    ),
    "a weaker mode": (
        TRUNKS, ("encryption: aes128", "encryption: rc4"), "trunk",
        ("trunk ab", "encryption aes128 → rc4", ("weakens-encryption",)),
    ),
    "a stronger mode": (
        TRUNKS, ("encryption: aes128", "encryption: srtp"), "trunk",
        ("trunk ab", "encryption aes128 → srtp", ()),
    ),
    "a key that both ends have": (
        TRUNKS, ("key: ab-2026q4", "key: ab-2026q3"), "trunk",
        ("trunk ab", "key id ab-2026q4 → ab-2026q3, which both ends accept already", ()),
    ),
    "the same key id, another value": (
        TRUNKS, ("u7XkQ2mZr94TbnLe", "u7XkQ2mZr94TbnLf"), "key",
        ("key ab-2026q4", "another value under the same id", ("reused-key-id",)),
    ),
    "another DSCP": (
        MAIN, ("media: EF", "media: CS0"), "setting",
        ("qos.media", "DSCP of media EF → CS0", ()),
    ),
    "administrators elsewhere": (
        MAIN, ("admin: [10.231.255.0/24]", "admin: [10.231.255.0/25]"), "setting",
        ("firewall.admin", "+ 10.231.255.0/25 − 10.231.255.0/24", ("cuts-controller",)),
    ),
    "a rate": (
        RATES, ('"44": {rate: 0.0095, cycle: 1}', '"44": {rate: 0.0099, cycle: 1}'), "rates",
        ("customers' rates wholesale", "44 0.0095 → 0.0099 a minute (+4.2 %)", ()),
    ),
    "a sysctl": (
        MAIN, ('tcp_keepalive_time: "600"', 'tcp_keepalive_time: "300"'), "sysctl",
        ("sysctl net.ipv4.tcp_keepalive_time", "600 → 300", ()),
    ),
    "a service": (
        MAIN, ("ssh: {state: running, enabled: true}", "ssh: {state: stopped, enabled: true}"), "service",
        ("service ssh", "running → stopped", ("stops-service",)),
    ),
    "packages": (
        MAIN, ("packages: [conntrack, tcpdump]", "packages: [tcpdump, sngrep]"), "package",
        ("packages", "+ sngrep − conntrack", ()),
    ),
    "a file": (
        MAIN, ('mode: "0644"', 'mode: "0600"'), "file",
        ("file /etc/motd", "mode 0644 → 0600", ()),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("file", "change", "area", "expected"), CASES.values(), ids=CASES)
def test_one_change_in_words(reviewed, file, change, area, expected):
    edit(file, change)
    assert expected in findings(reviewed(), "edge-a", area)


def test_a_finding_names_the_line_that_says_it(reviewed):
    edit(A, ("limits: {cps: 60}", "limits: {cps: 40}"))
    (found,) = [each for each in reviewed()["nodes"]["edge-a"]["findings"] if each["area"] == "gateway"]
    lines = Path(A).read_text().splitlines()
    assert (found["file"], lines[found["line"] - 1]) == (A, "  bluefin:")


def test_reordering_moving_and_commenting_is_no_change(reviewed):
    Path(ALL + "qos.yml").write_text("# moved into a file of its own\nqos: {media: EF, signalling: CS3}\n")
    edit(MAIN, ("qos:\n  signalling: CS3 # SIP\n  media: EF # RTP\n", ""))
    blocks = Path(A).read_text().split("firewall:\n")
    Path(A).write_text(f"firewall:\n{blocks[1]}\n{blocks[0]}")
    edit(A, ("type: mapping\n    auth: ip\n", "auth: ip\n    type: mapping\n"))
    edit(MAIN, ("    - 192.0.2.64/28 # call quality probes\n    - 2001:db8:64::/64\n",
                "    - 2001:db8:64::/64\n    - 192.0.2.64/28\n"))  # fmt: skip
    told = reviewed()
    assert {node["state"] for node in told["nodes"].values()} == {"same"}, told


def test_a_renamed_gateway_is_a_rename(reviewed):
    edit(A, ("  quartz:\n", "  quartz-london:\n"), ("media: {jitter: lan}", "media: {jitter: wan}"))
    told = findings(reviewed(), "edge-a", "gateway")
    assert ("gateway quartz-london", "renamed from quartz", ()) in told
    assert [text for _, text, _ in told if text.startswith(("new", "removed"))] == []
    assert any("jitter buffer lan" in text for _, text, _ in told)


def test_a_renamed_trunk_and_a_key_under_another_id(reviewed):
    edit(
        TRUNKS,
        ("  ab-metro:", "  metro:"),
        ("key: metro-1", "key: metro-2"),
        ("  metro-1: {", "  metro-2: {"),
    )
    told = findings(reviewed(), "edge-b", "trunk")
    assert ("trunk metro", "new, edge-a to edge-b, xor with key metro-2", ()) in told
    edit(TRUNKS, ("key: metro-2", "key: metro-1"), ("  metro-2: {", "  metro-1: {"))
    assert findings(reviewed(), "edge-b", "trunk") == [("trunk metro", "renamed from ab-metro", ())]
    edit(
        TRUNKS,
        ("  metro:", "  ab-metro:"),
        ("key: metro-1", "key: metro-2"),
        ("  metro-1: {", "  metro-2: {"),
    )
    told = findings(reviewed(), "edge-b", "trunk")
    assert told == [("trunk ab-metro", "key id metro-1 → metro-2, the same value", ("unstaged-key",))]


def test_a_gateway_that_moves_to_another_node(reviewed):
    text = Path(A).read_text()
    start, end = text.index("  bluefin:\n"), text.index("  callshop:\n")
    edit(A, (text[start:end], ""))
    test = next(line for line in text.splitlines() if "bluefin calls from its port" in line)
    for line in (
        test,
        *(each for each in text.splitlines() if "somebody else at that" in each or "bluefin over" in each),
    ):
        edit(A, (line + "\n", ""))
    edit(B, ("gateways:\n", "gateways:\n" + text[start:end]))
    told = reviewed()
    assert ("gateway bluefin", "moved to edge-b", ("drops-peer",)) in findings(told, "edge-a", "gateway")
    (moved,) = [each for each in findings(told, "edge-b", "gateway") if each[0] == "gateway bluefin"]
    assert moved[1].startswith("moved here from edge-a, a customer at 198.51.100.20/32, 2001:db8:20::20/128")


def test_rates_that_lock_a_vendor_or_lose_money(reviewed):
    edit(RATES, ('"49": {rate: 0.0110, cycle: 1}', '"49": {rate: 0.0050, cycle: 1}'))
    told = findings(reviewed(), "edge-a", "rates")
    assert any(text.startswith("vendor quartz becomes locked for 49") and risks == ("locks-vendor",)
               for _, text, risks in told), told  # fmt: skip
    assert ("routes of wholesale", "no vendor is left for 49", ("no-route",)) in told
    for file in (A, B):
        text = Path(file).read_text()
        Path(file).write_text("\n".join(line for line in text.splitlines() if "profit:" not in line) + "\n")
    assert any("negative-margin" in risks and "sold at a loss: 49 (-0.0009 a minute on quartz, -18.0 %)" in text
               for _, text, risks in findings(reviewed(), "edge-a", "rates"))  # fmt: skip


def test_a_vendor_that_is_freed_again(reviewed):
    edit(RATES, ('"4420": {rate: 0.0128, cycle: 1}', '"4420": {rate: 0.0060, cycle: 1}'))
    assert ("routes of wholesale", "vendor quartz is free again for 4420", ()) in findings(
        reviewed(), "edge-a", "rates"
    )


def test_many_rows_of_a_deck_are_counted(reviewed):
    text = Path(RATES).read_text()
    head, retail = text.split("    retail:\n")
    rows = retail.split("  # Vendors'")
    for old in ("0.0190", "0.0220", "0.0210"):
        rows[0] = rows[0].replace(f"rate: {old}", "rate: 0.0300")
    rows[0] = rows[0].replace("rate: 0.0550", "rate: 0.0500").replace('"447"', '"448"')
    Path(RATES).write_text(f"{head}    retail:\n{rows[0]}  # Vendors'{rows[1]}")
    (deck,) = [each for each in reviewed()["nodes"]["edge-a"]["findings"] if "retail" in each["subject"]
               and each["subject"].startswith("customers'")]  # fmt: skip
    assert deck["text"] == "3 up, 1 down, 1 new, 1 gone"
    assert "448 new, at 0.0450 a minute" in deck["detail"]


def test_rates_that_change_on_a_day_or_at_night(reviewed):
    edit(
        RATES,
        ("rates:\n", "rates:\n  exchange: {USD: 0.92}\n  calendars: {c: {sections: {night: [{from: '22:00'}]}}}\n"),
        ("    orbit:\n", ('    orbit:\n      {currency: USD, calendar: c, rows: {"44": {rate: 0.0061, cycle: 1, '
         "sections: {night: {rate: 0.005}}, changes: {2026-12-01: {rate: 0.007}}}}}\n    more:\n")),
    )  # fmt: skip
    told = [
        text
        for subject, text, _ in findings(reviewed(), "edge-a", "rates")
        if subject == "vendors' rates orbit"
    ]
    assert told[:2] == ["currency none → USD", "calendar comes"]
    lines = next(each for each in reviewed()["nodes"]["edge-a"]["findings"] if each["detail"])["detail"]
    assert "44 until none → 2026-12-01" in lines
    assert "44 (night) from 2026-12-01 new, at 0.005 a minute" in lines
    assert ("rates", "one USD in EUR none → 0.92", ()) in findings(reviewed(), "edge-a", "rates")


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        (MAIN, ("  budgets:\n", "  sip: {udp: [5060, 5080]}\n  budgets:\n"), "to port 5080"),
        (MAIN, ("  budgets:\n", "  default: return\n  budgets:\n"), "left to the host's own rules"),
        ("inventory/group_vars/edges.yml", ('"16384-24575"', '"16384-25599"'), "port 24576-25599"),
    ],
)
def test_what_opens_a_port(reviewed, file, change, said):
    text = Path(MAIN).read_text()
    tests = text[text.index("  # Packets, each with") : text.index("# Kernel settings")]
    edit(MAIN, (tests, ""))
    edit(file, change)
    told = findings(reviewed(), "edge-a", "traffic")
    assert any("opens-port" in risks and said in text for _, text, risks in told), told


def test_nodes_that_come_and_go(reviewed):
    edit("inventory/hosts.yml", ("edge-b:", "edge-c:"))
    shutil.move(B, "inventory/host_vars/edge-c.yml")
    edit(TRUNKS, ("[edge-a, edge-b]", "[edge-a, edge-c]"), ("[edge-a, edge-b]", "[edge-a, edge-c]"))
    told = reviewed()
    assert {name: node["state"] for name, node in told["nodes"].items()} == {
        "edge-a": "changed", "edge-b": "gone", "edge-c": "new",
    }  # fmt: skip
    assert ("trunk ab", "ends edge-a, edge-b → edge-a, edge-c", ()) in findings(told, "edge-a", "trunk")
    assert told["risks"]["removes-node"] == {"level": "warning", "findings": 1}


def test_no_secret_is_told(reviewed, capsys):
    edit(TRUNKS, ("u7XkQ2mZr94TbnLe", "SecretNumberOne1"))
    edit(A, ('"Tm4wK9xQz2Rb"', '"SecretNumberTwo2"'))
    edit(
        MAIN, ("files:\n", "files:\n  /etc/token: {content: SecretNumberThree, secret: true, mode: '0600'}\n")
    )
    text = str(reviewed())
    for secret in ("SecretNumber", "u7XkQ2mZr94TbnLe", "Tm4wK9xQz2Rb"):
        assert secret not in text


def test_only_what_a_change_can_reach_is_compiled(reviewed, monkeypatch):
    compiled: list[tuple[str, ...]] = []
    whole = make.compile_site
    monkeypatch.setattr(
        make, "compile_site", lambda site, **kw: compiled.append(site.selected) or whole(site, **kw)
    )
    reviewed()
    assert compiled == [(), ()]
    edit(
        "inventory/hosts.yml",
        ("        edge-b:\n", "        edge-c:\n          host: 10.231.0.4\n        edge-b:\n"),
    )
    Path("inventory/host_vars/edge-c.yml").write_text("gateways: {}\n")
    git("add", "--all")
    git("commit", "--quiet", "--all", "--message=three")
    Path("inventory/host_vars/edge-c.yml").write_text("gateways: {}\nqos: {media: CS0}\n")
    compiled.clear()
    reviewed()
    assert compiled == [("edge-c",), ("edge-c",)]
    edit(B, ("media: {jitter: satellite}", "media: {jitter: wan}"))
    compiled.clear()
    reviewed()
    assert compiled == [("edge-a", "edge-c", "edge-b")] * 2  # edge-a is at the other end of edge-b's trunks
