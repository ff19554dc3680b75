"""The simulator without a kernel: what it knows, what it does not, and that it says so."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from msgspec.structs import replace

from vosctl.compile.desired import Hook, IpSet, Ruleset
from vosctl.firewall.simulate.match import Steady, World, memberships
from vosctl.firewall.simulate.packet import ACK, SYN, TCP, UDP, Packet, image
from vosctl.firewall.simulate.parse import parse
from vosctl.firewall.simulate.walk import Fate, follow

INPUT = (Hook("filter", "INPUT", "VOS-INPUT"),)
SCAN = Packet(
    ip_network("198.51.100.9"), ip_network("10.0.0.2"), UDP, 5060, 5060, payload=b"OPTIONS sip:x SIP/2.0"
)
SETS = (
    IpSet("nets", "hash:net", 4, ("198.51.100.0/25", "203.0.113.7"), 64),
    IpSet("ports", "hash:net,port", 4, ("198.51.100.9,udp:5060",), 64),
    IpSet("timed", "hash:net", 4, (), 64, "timeout 600"),
    IpSet("odd", "bitmap:port", 4, ("5060",), 64),
    IpSet("except", "hash:net", 4, ("198.51.100.0/24", "198.51.100.9 nomatch"), 64),
)


def journey(packet, *rules, tables="", hooks=INPUT, **world):
    names = {"VOS-INPUT", *(rule.split()[0] for rule in rules)}
    text = tables + "*filter\n" + "".join(f":{name} - [0:0]\n" for name in sorted(names))
    text += "".join(f"-A {rule}\n" for rule in rules) + "COMMIT\n"
    return follow(Ruleset(4, text, hooks), packet, World(memberships(SETS), **world))


def holds(packet, match, **world):
    """Whether one match holds: True, False, or None where it is not known."""
    fates = journey(packet, f"VOS-INPUT {match} -j DROP", "VOS-INPUT -j ACCEPT", **world).fates
    return None if len(fates) > 1 else Fate.DROP in fates


@pytest.mark.parametrize(
    ("match", "answer"),
    [
        ("-m set --match-set nets src", True),
        ("-m set --match-set nets dst", False),
        ("-m set --match-set ports src,src", True),
        ("-m set --match-set ports src,dst", True),
        ("-m set --match-set ports src", None),  # the set has two dimensions: the kernel would refuse it
        ("-m set --match-set timed src", False),
        ("-m set --match-set odd src", None),
        ("-m set --match-set except src", None),
        ("-m set --match-set nowhere src", None),
        ("-m recent --rcheck", None),
        ("-m string --string sip: --algo bm --from 28 --to 60", True),
        ("-m string --string SIP: --algo bm --from 28 --to 60", False),
        ("-m string --string SIP: --algo bm --from 28 --to 60 --icase", True),
        ("-m string --string sip: --algo bm --from 37 --to 60", False),
        ('-m string --hex-string "|0b|" --algo bm', None),  # the checksum may hold it
        ('-m u32 --u32 "0x1c=0x4f505449"', True),  # OPTI
        ('-m u32 --u32 "0x1c&0xff000000=0x4e000000:0x50000000"', True),
        ('-m u32 --u32 "0x200=0:0xffffffff"', False),  # behind the packet's end
        ('-m u32 --u32 "4&0xffff=0x4000"', None),
        ('-m u32 --u32 "0>>22&0x3c@4&0xffff=0"', None),
        ("-m length --length 49", True),
        ("-m hashlimit --hashlimit-above 5/sec --hashlimit-mode srcip --hashlimit-name a", False),
        ("-m hashlimit --hashlimit-upto 5/sec --hashlimit-mode srcip --hashlimit-name a", True),
        ("-m hashlimit --hashlimit-above 5/sec --hashlimit-mode dstport --hashlimit-name a", None),
        ("-m limit --limit 3/hour", True),
        ("-m connlimit --connlimit-above 1 --connlimit-mask 32 --connlimit-saddr", False),
        ("-i eth0", None),
        ("-i lo", False),
        ("-o eth0", None),
    ],
)  # fmt: skip
def test_matches(match, answer):
    assert holds(SCAN, match) is answer


def test_what_is_sent_decides_about_budgets():
    above = "-m hashlimit --hashlimit-above 5/sec --hashlimit-mode srcip --hashlimit-name a"
    assert holds(SCAN, above, meter=Steady(5)) is False
    assert holds(SCAN, above, meter=Steady(6)) is True
    assert holds(SCAN, above, meter=Steady(None)) is None
    assert holds(SCAN, "-m hashlimit --hashlimit-above 2/min --hashlimit-mode srcip --hashlimit-name a",
                 meter=Steady(0.05)) is True  # fmt: skip
    assert holds(SCAN, "-m connlimit --connlimit-above 9 --connlimit-mask 24", meter=Steady(0, 10)) is True


def test_the_bound_of_a_text_means_its_end_from_kernel_6_6_on():
    late = replace(SCAN, payload=b"xxOPTIONS sip:")
    match = '-m string --string "OPTIONS sip:" --algo kmp --from 28 --to 40'
    assert holds(late, match, kernel=(6, 5)) is True
    assert holds(late, match, kernel=(6, 6)) is False
    assert holds(late, match) is None
    assert holds(SCAN, match) is True


def test_what_a_packet_does_not_say_is_unknown():
    unsaid = replace(SCAN, payload=None, sport=None, hops=None, dscp=None, state=None)
    for match in ("-p udp -m udp --sport 5060", "-m string --string x --algo bm", "-m length --length 60:90",
                  "-m ttl --ttl-eq 64", "-m dscp --dscp 0", "-m conntrack --ctstate NEW"):  # fmt: skip
        assert holds(unsaid, match) is None
    assert holds(unsaid, "-m length --length 1:20") is False
    assert holds(unsaid, "-p tcp") is False


def test_a_network_matches_as_a_whole_or_not_at_all():
    wide = replace(SCAN, source=ip_network("198.51.100.0/24"))
    assert holds(wide, "-s 198.51.0.0/16") is True
    assert holds(wide, "-s 198.51.100.9") is None
    assert holds(wide, "! -s 198.51.100.9") is None
    assert holds(wide, "-s 203.0.113.0/24") is False
    assert holds(wide, "-m set --match-set nets src") is None
    assert holds(replace(wide, source=ip_network("198.51.100.64/26")), "-m set --match-set nets src") is True


def test_sets_that_the_node_fills_may_hold_anybody_where_it_matters():
    assert holds(SCAN, "-m set --match-set timed src", filled=True) is None
    assert holds(SCAN, "-m set --match-set nets src", filled=True) is True


def test_rules_add_members_for_the_rules_behind_them():
    added = (
        "VOS-INPUT -j SET --add-set timed src --exist --timeout 60",
        "VOS-INPUT -m set --match-set timed src -j DROP",
    )
    assert journey(SCAN, *added).fate is Fate.DROP
    perhaps = added[0].replace("-j", "-m recent --rcheck -j")
    assert journey(SCAN, perhaps, added[1], "VOS-INPUT -j ACCEPT").fate is None


def test_untracked_packets_have_no_other_state():
    raw = "*raw\n:VOS-RAW - [0:0]\n-A VOS-RAW -p udp -j CT --notrack\nCOMMIT\n"
    hooks = (*INPUT, Hook("raw", "PREROUTING", "VOS-RAW"))
    rules = ("VOS-INPUT -m conntrack --ctstate UNTRACKED -j ACCEPT", "VOS-INPUT -j DROP")
    assert journey(SCAN, *rules, tables=raw, hooks=hooks).fate is Fate.ACCEPT
    assert journey(SCAN, *rules).fate is Fate.DROP


def test_own_chains_that_return_leave_it_to_the_host():
    found = journey(SCAN, "VOS-INPUT -p tcp -j DROP")
    assert (found.fate, found.decided_by) == (Fate.RETURN, None)
    explicit = journey(SCAN, "VOS-INPUT -p udp -j RETURN", "VOS-INPUT -j DROP")
    assert explicit.fate is Fate.RETURN
    assert explicit.decided_by is not None


def test_jumps_come_back_and_gotos_do_not():
    assert (
        journey(SCAN, "VOS-INPUT -j VOS-X", "VOS-INPUT -j DROP", "VOS-X -p tcp -j ACCEPT").fate is Fate.DROP
    )
    assert (
        journey(SCAN, "VOS-INPUT -g VOS-X", "VOS-INPUT -j DROP", "VOS-X -p tcp -j ACCEPT").fate is Fate.RETURN
    )


def test_unknown_rules_are_told_with_the_condition():
    found = journey(SCAN, "VOS-INPUT -p udp -m recent --rcheck -j DROP", "VOS-INPUT -j ACCEPT")
    assert set(found.fates) == {Fate.DROP, Fate.ACCEPT}
    (step,) = found.unknown
    assert step.unmet.text == "-m recent --rcheck"


def test_targets_that_are_not_modelled_may_drop():
    assert set(journey(SCAN, "VOS-INPUT -j NFQUEUE --queue-num 0", "VOS-INPUT -j ACCEPT").fates) == {
        Fate.DROP,
        Fate.ACCEPT,
    }


@pytest.mark.parametrize(
    "line", ['-A VOS-X -m comment --comment "open -j DROP', "-A VOS-X -p udp -j", "-A VOS-X !"]
)
def test_text_that_is_no_rule_is_an_error(line):
    with pytest.raises(ValueError, match=r"quote|nowhere|ends"):
        parse(f"*filter\n:VOS-X - [0:0]\n{line}\nCOMMIT\n")


def test_the_image_of_a_packet_knows_what_it_does_not_know():
    seen = image(replace(SCAN, protocol=TCP, flags=SYN, flags_known=SYN | ACK))
    assert seen.data[:1] == b"\x45"
    assert seen.known[4:6] == b"\0\0"  # identification
    assert seen.data[33] == SYN
    assert seen.known[33] == SYN | ACK
    assert seen.clear_from == 40
    assert image(replace(SCAN, payload=None)).complete is False
