"""Sets and rules in real kernels, with either backend of iptables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from agent_client import Machine, Wanted, wait_until

pytestmark = [pytest.mark.netns, pytest.mark.requires("iptables", "ipset", "unshare")]

SIP = """\
*filter
:VOS-INPUT - [0:0]
:VOS-SIP - [0:0]
-A VOS-INPUT -p udp -m udp --dport 5060 -m set --match-set vos-trusted src -j ACCEPT
-A VOS-INPUT -p udp -m udp --dport 5060 -j VOS-SIP
-A VOS-SIP -j DROP
COMMIT
"""
SIP6 = """\
*filter
:VOS-INPUT - [0:0]
-A VOS-INPUT -p udp -m udp --dport 5060 -j DROP
COMMIT
"""
HOOK = ("filter", "INPUT", "VOS-INPUT")
FOREIGN = "iptables -A INPUT -i lo -j ACCEPT; iptables -N theirs; iptables -A theirs -j RETURN; iptables -A INPUT -j theirs"


def sample() -> Wanted:
    wanted = Wanted().set("vos-trusted", ["10.0.0.0/8", "192.0.2.1"])
    return wanted.rules(SIP, HOOK).rules(SIP6, HOOK, family=6)


def state(host: Machine) -> tuple[str, str, list[str]]:
    return host.rules(4), host.rules(6), host.sets()


def test_sets_and_rules_are_loaded_beside_those_of_others(host: Machine) -> None:
    host.run(FOREIGN)
    host.run("ipset create theirs hash:ip")
    applied = host.settle(sample())
    assert applied["changed"] == ["set vos-trusted", "rules v4", "rules v6"]
    lines = host.rules().splitlines()
    inputs = [line for line in lines if line.startswith("-A INPUT")]
    assert inputs == ["-A INPUT -j VOS-INPUT", "-A INPUT -i lo -j ACCEPT", "-A INPUT -j theirs"]
    assert "-A theirs -j RETURN" in lines
    assert "-A VOS-SIP -j DROP" in lines
    assert "create theirs hash:ip family inet" in host.sets()
    assert "add vos-trusted 192.0.2.1" in host.sets()
    observed = host.inspect(sample())
    assert observed["facts"]["iptables"]["backend"] == host.name
    assert all(found["intact"] and found["loaded"] for found in observed["rulesets"].values())
    assert "members" not in observed["sets"]["vos-trusted"]
    assert host.settle(sample())["changed"] == []


def test_stale_chains_and_sets_are_removed(host: Machine) -> None:
    host.settle(sample().set("vos-old", ["10.1.1.1"]))
    host.run("iptables -N VOS-HAND; iptables -A INPUT -j VOS-HAND; ipset create vos-hand hash:ip")
    less = Wanted().rules(SIP6, HOOK)
    observed = host.inspect(less)
    assert observed["orphans"]["sets"] == ["vos-hand", "vos-old", "vos-trusted"]
    assert observed["orphans"]["chains"]["4"] == ["VOS-HAND"]
    assert observed["orphans"]["chains"]["6"] == ["VOS-INPUT"]
    host.settle(less)
    assert host.sets() == []
    assert "VOS-HAND" not in host.rules()
    assert "VOS-SIP" not in host.rules()
    assert "VOS" not in host.rules(6)
    host.settle(Wanted())
    assert "VOS" not in host.rules()


@pytest.mark.parametrize(
    "hand",
    ["iptables -I VOS-INPUT -j ACCEPT", "iptables -D INPUT -j VOS-INPUT", "iptables -I INPUT -j ACCEPT", "iptables -F VOS-SIP",
     "iptables -A OUTPUT -j VOS-SIP", "ip6tables -F VOS-INPUT", "ipset add vos-trusted 1.2.3.4", "ipset flush vos-trusted"],
)  # fmt: skip
def test_what_a_hand_changed_shows_and_is_put_back(nft: Machine, hand: str) -> None:
    nft.settle(sample())
    before = state(nft)
    nft.run(hand)
    observed = nft.inspect(sample())
    moved = [found for found in observed["rulesets"].values() if not found["intact"]]
    assert len(moved) == (0 if hand.startswith("ipset") else 1)
    assert all(found["then"] != found["now"] and found["text"] for found in moved)
    assert ("members" in observed["sets"]["vos-trusted"]) == hand.startswith("ipset")
    assert nft.settle(sample())["changed"]
    if hand == "iptables -I INPUT -j ACCEPT":  # theirs stays, below ours
        nft.run("iptables -D INPUT -j ACCEPT")
    assert state(nft) == before


@pytest.mark.parametrize(
    "new",
    [
        Wanted().set("vos-trusted", ["10.0.0.0/8"]).rules(SIP, HOOK),
        Wanted().set("vos-trusted", ["10.0.0.0/8", "192.0.2.1"], maxelem=1000).rules(SIP, HOOK),
        Wanted()
        .set("vos-trusted", ["10.0.0.0/8,udp:5060"], kind="hash:net,port")
        .rules(SIP.replace(" src", " src,dst"), HOOK),
        Wanted().set("vos-trusted", ["2001:db8::/32"], family=6).rules(SIP6, HOOK).rules(SIP, HOOK, family=6),
    ],
    ids=["members", "maxelem", "type", "family"],
)
def test_sets_in_use_change_and_come_back(host: Machine, new: Wanted) -> None:
    old = Wanted().set("vos-trusted", ["10.0.0.0/8", "192.0.2.1"]).rules(SIP, HOOK)
    host.settle(old)
    before = state(host)
    applied = host.apply(new, window=1)
    assert applied["op"] == "applied", applied
    assert "set vos-trusted" in applied["changed"]
    item = new.sets["vos-trusted"]
    observed = host.inspect(new)
    assert observed["sets"]["vos-trusted"]["digest"] == item["digest"]
    assert not [line for line in host.sets() if line.startswith(("create vos-trusted-", "add vos-trusted-"))]
    assert wait_until(lambda: host.ask("status")["pending"] is None)
    assert state(host) == before
    assert host.settle(new)["changed"] == applied["changed"]


def changed_one_by_one(host: Machine, before: str) -> bool:
    """Return whether the set is the one that was there: one that was swapped in has another start value."""
    pick = "ipset save vos-trusted | grep -o 'initval.*'"
    return host.run(pick) == before


def test_few_members_change_one_by_one_and_many_at_once(host: Machine) -> None:
    members = [f"10.{number}.0.0/16" for number in range(200)]
    host.settle(sample().set("vos-trusted", members))
    value = host.run("ipset save vos-trusted | grep -o 'initval.*'")
    fewer = sample().set("vos-trusted", ["10.0.0.0/17", "10.0.128.0/17", *members[5:]])
    before = state(host)
    assert host.apply(fewer, window=1)["changed"] == ["set vos-trusted"]
    assert changed_one_by_one(host, value)
    assert host.inspect(fewer)["sets"]["vos-trusted"]["digest"] == fewer.sets["vos-trusted"]["digest"]
    assert wait_until(lambda: host.ask("status")["pending"] is None)
    assert state(host) == before
    host.settle(sample().set("vos-trusted", members[150:]))
    assert not changed_one_by_one(host, value)


def test_a_full_set_changes_at_once(host: Machine) -> None:
    host.settle(sample().set("vos-trusted", ["10.0.0.1", "10.0.0.2"], maxelem=2))
    host.settle(sample().set("vos-trusted", ["10.0.0.3", "10.0.0.4"], maxelem=2))
    assert [line for line in host.sets() if line.startswith("add")] == [
        "add vos-trusted 10.0.0.3",
        "add vos-trusted 10.0.0.4",
    ]


TIMED = "timeout 600 counters comment"


def timed(options: str = TIMED) -> Wanted:
    return sample().set("vos-ban4", [], options=options)


def test_members_of_a_timed_set_are_the_nodes_own(host: Machine) -> None:
    assert "set vos-ban4" in host.settle(timed())["changed"]
    host.run('ipset add vos-ban4 198.51.100.7 timeout 500 comment "a person: a reason"')
    assert host.settle(timed())["changed"] == []
    host.settle(timed().set("vos-trusted", ["10.0.0.0/8"]).rules(SIP6, HOOK))
    assert host.ask("rollback")["op"] == "rolled-back"
    held = [line for line in host.sets() if line.startswith("add vos-ban4")]
    assert len(held) == 1
    assert held[0].endswith('packets 0 bytes 0 comment "a person: a reason"')
    host.fleet.reboot(host.name)
    boot(host)
    assert host.settle(timed())["changed"] == []
    assert not any("198.51.100.7" in line for line in host.sets())


def test_a_timed_set_gets_other_options_and_keeps_its_members_with_their_time(host: Machine) -> None:
    host.settle(timed())
    host.run("ipset add vos-ban4 198.51.100.7 timeout 500; ipset add vos-ban4 2.0.0.0/8 timeout 0")
    assert host.settle(timed("timeout 900"))["changed"] == ["set vos-ban4"]
    held = [line.split() for line in host.run("ipset save vos-ban4").splitlines() if line.startswith("add")]
    assert sorted(words[2] for words in held) == ["198.51.100.7", "2.0.0.0/8"]
    left = {words[2]: int(words[4]) for words in held}
    assert left["2.0.0.0/8"] == 0
    assert 480 < left["198.51.100.7"] <= 500


def test_without_confirmation_everything_in_the_kernel_goes_back(host: Machine) -> None:
    host.run(FOREIGN)
    before = state(host)
    wanted = sample().sysctl("net.ipv4.ip_forward", "1").file("/etc/voice/a", b"1")
    assert host.apply(wanted, window=1)["op"] == "applied"
    assert state(host) != before
    assert host.path("/proc/sys/net/ipv4/ip_forward").parent.exists()
    assert host.run("cat /proc/sys/net/ipv4/ip_forward").strip() == "1"
    assert wait_until(lambda: host.ask("status")["pending"] is None)
    assert state(host) == before
    assert host.run("cat /proc/sys/net/ipv4/ip_forward").strip() == "0"
    assert not host.path("/etc/voice").exists()
    assert host.inspect(sample())["rulesets"]["4"]["loaded"] is None


REFUSED = {
    "missing chain": ("-A VOS-INPUT -j NOWHERE", "NOWHERE"),
    "missing set": ("-A VOS-INPUT -m set --match-set vos-none src -j DROP", "vos-none"),
    "target of another table": ("-A VOS-INPUT -j SNAT --to-source 10.0.0.1", "SNAT"),
    "no such match": ("-A VOS-INPUT -m nosuchmatch -j DROP", "nosuchmatch"),
    "no rule at all": ("-A VOS-INPUT --nonsense", "--nonsense"),
}


@pytest.mark.parametrize(("rule", "named"), REFUSED.values(), ids=REFUSED)
def test_a_rule_that_the_kernel_refuses_changes_nothing(host: Machine, rule: str, named: str) -> None:
    host.settle(sample())
    before = state(host)
    bad = sample().rules(SIP.replace("-A VOS-SIP -j DROP", rule), HOOK).file("/etc/voice/a", b"1")
    answer = host.apply(bad)
    assert answer["op"] == "error"
    assert named in answer["error"]
    assert f"“{rule}”" in answer["error"]
    assert answer["item"] == "v4"
    assert state(host) == before
    assert not host.path("/etc/voice/a").exists()
    assert host.ask("status")["pending"] is None


def test_a_bad_member_changes_nothing(host: Machine) -> None:
    host.settle(sample())
    before = state(host)
    answer = host.apply(sample().set("vos-trusted", ["10.0.0.0/8", "300.1.1.1"]))
    assert answer["op"] == "error"
    assert "“add vos-trusted 300.1.1.1”" in answer["error"]
    assert state(host) == before


def test_more_members_than_fit_change_nothing(host: Machine) -> None:
    host.settle(sample())
    before = state(host)
    answer = host.apply(sample().set("vos-trusted", [f"10.0.{i}.0/24" for i in range(20)], maxelem=10))
    assert answer["op"] == "error"
    assert "full" in answer["error"]
    assert state(host) == before


def test_a_set_that_a_foreign_rule_uses_cannot_go_and_all_goes_back(host: Machine) -> None:
    host.settle(sample().set("vos-old", ["10.1.1.1"]))
    host.run("iptables -A INPUT -m set --match-set vos-old src -j ACCEPT")
    before = state(host)
    answer = host.apply(sample().file("/etc/voice/a", b"1"))
    assert (answer["op"], answer["rolled_back"], answer["item"]) == ("failed", True, "vos-old")
    assert "in use" in answer["error"]
    assert state(host) == before
    assert not host.path("/etc/voice/a").exists()


@pytest.fixture
def two_minds(nft: Machine) -> Iterator[Machine]:
    """A host with iptables-nft that gets rules of the legacy backend, whose tables only a reboot takes away."""
    yield nft
    nft.fleet.reboot(nft.name)


def test_rules_in_both_backends_are_refused(two_minds: Machine) -> None:
    nft = two_minds
    nft.run("iptables-legacy -A INPUT -i lo -j ACCEPT; iptables-nft -A INPUT -i lo -j ACCEPT")
    able, reason = nft.inspect(sample())["facts"]["can"]["firewall"]
    assert not able
    assert "both backends" in reason
    answer = nft.apply(sample())
    assert answer["op"] == "error"
    assert "both backends" in answer["error"]
    assert "VOS" not in nft.rules()


def test_the_backend_that_holds_rules_is_the_one_to_use(two_minds: Machine) -> None:
    nft = two_minds
    nft.run("iptables-legacy -A INPUT -i lo -j ACCEPT")
    nft.settle(sample())
    assert "VOS-SIP" in nft.run("iptables-legacy-save")
    assert "VOS" not in nft.run("iptables-nft-save")


def test_equal_files_do_not_mean_loaded_rules(nft: Machine) -> None:
    wanted = sample().file("/etc/vosctl/firewall/rules.v4", b"text")
    nft.settle(wanted)
    before = state(nft)
    # What a reboot does: the kernel's rules, its sets and /run are gone.
    nft.run("iptables -F; iptables -X; ip6tables -F; ip6tables -X; ipset destroy; rm -rf /run/vosctl")
    observed = nft.inspect(wanted)
    assert observed["rulesets"]["4"]["loaded"] is None
    assert nft.settle(wanted)["changed"] == ["set vos-trusted", "rules v4", "rules v6"]
    assert state(nft) == before


def test_several_tables_and_hooks(host: Machine) -> None:
    raw = "*raw\n:VOS-RAW - [0:0]\n-A VOS-RAW -p udp -m udp --dport 16384:32767 -j CT --notrack\nCOMMIT\n"
    wanted = Wanted().rules(raw + SIP6, ("raw", "PREROUTING", "VOS-RAW"), HOOK)
    host.settle(wanted)
    assert "-A PREROUTING -j VOS-RAW" in host.rules()
    assert "-A INPUT -j VOS-INPUT" in host.rules()
    host.settle(Wanted().rules(SIP6, HOOK))
    assert "VOS-RAW" not in host.rules()
    assert host.inspect(Wanted().rules(SIP6, HOOK))["rulesets"]["4"]["intact"]


def test_rollback_of_a_confirmed_firewall(host: Machine) -> None:
    host.settle(sample())
    before = state(host)
    host.settle(Wanted().set("vos-other", ["10.9.0.0/16"]).rules(SIP6, HOOK))
    assert state(host) != before
    assert host.ask("rollback")["op"] == "rolled-back"
    assert state(host) == before
    assert host.settle(sample())["changed"] == []


def boot(host: Machine) -> None:
    host.run("python3 -I -S /var/lib/vosctl/agent.pyz boot")


def test_booting_loads_what_was_confirmed(host: Machine) -> None:
    host.settle(sample())
    before = state(host)
    host.fleet.reboot(host.name)
    assert host.sets() == []
    boot(host)
    assert state(host) == before
    assert host.inspect(sample())["rulesets"]["4"]["intact"]
    assert host.settle(sample())["changed"] == []
    boot(host)
    assert state(host) == before


@pytest.mark.parametrize("how", ["boot", "next run"])
def test_a_reboot_takes_back_what_was_not_confirmed(host: Machine, how: str) -> None:
    host.settle(sample().file("/etc/voice/a", b"old"))
    before = state(host)
    applied = host.apply(Wanted().rules(SIP6, HOOK).file("/etc/voice/a", b"new"), window=300)
    assert applied["op"] == "applied"
    host.fleet.reboot(host.name)
    if how == "boot":
        boot(host)
    else:
        late = host.ask("confirm", id=applied["id"])
        assert (late["op"], late["rolled_back"]) == ("failed", True)
        assert "rebooted" in late["error"]
    assert host.path("/etc/voice/a").read_bytes() == b"old"
    assert state(host) == before
    assert host.ask("status")["pending"] is None


def test_a_file_with_a_rulesets_text_travels_with_it(nft: Machine) -> None:
    path, new = "/etc/vosctl/rules.v4", SIP.replace("5060", "5080")
    nft.settle(sample().rules(SIP, HOOK).file(path, SIP.encode()))
    wanted = sample().rules(new, HOOK).file(path, new.encode())
    observed = nft.inspect(wanted)
    assert observed["files"][path]["content"] == {"ruleset": "4"}
    assert observed["rulesets"]["4"]["text"] == SIP
    request = nft.apply_frame(wanted, observed)
    for sent, said in (({"ruleset": "6"}, "neither base64 nor"), ({"ruleset": "4"}, "")):
        request["items"]["files"][path] = sent
        with nft.agent() as agent:
            answer = agent.ask(request)
        assert said in answer.get("error", "")
    assert nft.ask("confirm", id=answer["id"])["op"] == "confirmed"
    assert nft.path(path).read_text() == new
    assert "5080" in nft.rules()
