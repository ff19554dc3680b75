"""A change of few rules: loaded, rehearsed and looked at alone, and known afterwards as well as after a whole look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from agent_client import Machine, Wanted

pytestmark = [pytest.mark.netns, pytest.mark.requires("iptables", "ipset", "unshare")]

HOOK = ("filter", "INPUT", "VOS-INPUT")
CHAINS = ("VOS-INPUT", "VOS-A", "VOS-B", "VOS-C", "VOS-D")


@pytest.fixture(autouse=True)
def no_raw_rules(host_of_test: Machine) -> Iterator[None]:
    """Nobody else's tests have rules in this table."""
    yield
    tool = f"iptables-{host_of_test.name} -t raw"
    host_of_test.run(f"{tool} -F; {tool} -X VOS-RAW; true")


@pytest.fixture
def host_of_test(request: pytest.FixtureRequest) -> Machine:
    found: Machine = request.getfixturevalue("nft" if "nft" in request.fixturenames else "host")
    return found


def wanted(*words: str, more: str = "", chains: tuple[str, ...] = CHAINS) -> Wanted:
    """Five chains; the four below VOS-INPUT drop one word each."""
    text = "*filter\n" + "".join(f":{chain} - [0:0]\n" for chain in chains)
    text += "".join(f"-A VOS-INPUT -p udp -j {chain}\n" for chain in chains[1:])
    for chain, word in zip(chains[1:], words, strict=False):
        text += f'-A {chain} -p udp -m string --string "{word}" --algo bm -j DROP\n'
    text += more + "COMMIT\n*raw\n:VOS-RAW - [0:0]\n-A VOS-RAW -p udp -j RETURN\nCOMMIT\n"
    return Wanted().rules(text, HOOK, ("raw", "PREROUTING", "VOS-RAW"))


def rulesets(host: Machine, state: Wanted) -> Any:
    return host.inspect(state)["rulesets"]


CHANGES = {
    "one chain": wanted("a", "b", "c", "e"),
    "three chains": wanted("a", "f", "g", "h"),
    "all chains": wanted("i", "j", "k", "l", more="-A VOS-INPUT -j RETURN\n"),
    "an empty chain fills": wanted("a", "b", "c"),
    "a chain empties": wanted(),
    "a chain goes": wanted("a", "b", "c", chains=CHAINS[:4]),
    "a chain comes": wanted("a", "b", "c", "d", "e", chains=(*CHAINS, "VOS-E")),
    "nothing is left": Wanted(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_loaded_is_known_without_a_whole_look(host: Machine, name: str) -> None:
    host.run("iptables -A INPUT -p tcp -j ACCEPT")
    host.settle(wanted("a", "b", "c", "d"))
    changed = CHANGES[name]
    assert host.settle(changed)["changed"]
    # Whatever was remembered of the change: a node that forgot it looks the same.
    then = host.rules()
    before = {family: found["intact"] for family, found in rulesets(host, changed).items()}
    assert all(before.values())
    host.run("rm -f /run/vosctl/rules-*")
    assert {family: found["intact"] for family, found in rulesets(host, changed).items()} == before
    # As if it were the first: nothing of it is left out.
    host.clean()
    host.run("iptables -A INPUT -p tcp -j ACCEPT")
    host.settle(changed)
    assert host.rules() == then


def test_chains_that_stay_keep_their_counters(host: Machine) -> None:
    # Words long enough that no header holds one by chance.
    host.settle(wanted("first", "second", "third", "fourth"))
    host.run(
        "ip link set lo up; python3 -c \"import socket; socket.socket(2, 2).sendto(b'third', ('127.0.0.1', 9))\""
    )
    host.settle(wanted("first", "second", "third", "other"))
    saved = host.run("iptables-save -c -t filter").splitlines()
    (kept,) = [line for line in saved if "third" in line]
    (new,) = [line for line in saved if "other" in line]
    assert kept.startswith("[1:")
    assert new.startswith("[0:0]")


SPY = """#!/bin/sh
cat >/tmp/restored
exec /usr/sbin/iptables-{backend}-restore "$@" </tmp/restored
"""
MEDDLER = """#!/bin/sh
/usr/sbin/iptables-nft -A VOS-A -p udp -m string --string meddled --algo bm -j DROP
exec /usr/sbin/iptables-nft-restore "$@"
"""


def put(host: Machine, name: str, text: str) -> None:
    path = host.path(f"/usr/local/sbin/{name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_a_rule_that_somebody_adds_in_the_middle_is_not_overlooked(nft: Machine) -> None:
    nft.settle(wanted("a", "b", "c", "d"))
    put(nft, "iptables-nft-restore", MEDDLER)
    try:
        state = wanted("a", "b", "c", "other")
        nft.settle(state)
    finally:
        nft.run("rm -f /usr/local/sbin/iptables-nft-restore")
    assert "meddled" in nft.rules()
    # It was there when the load was over, and so belongs to what is loaded: as far as the node knows, but it knows.
    nft.run("rm -f /run/vosctl/rules-*")
    assert rulesets(nft, state)["4"]["intact"]


def test_only_what_differs_is_loaded(host: Machine) -> None:
    host.settle(wanted("a", "b", "c", "d"))
    name = f"iptables-{host.name}-restore"
    put(host, name, SPY.replace("{backend}", host.name))
    try:
        host.settle(wanted("a", "b", "c", "other"))
    finally:
        host.run(f"rm -f /usr/local/sbin/{name}")
    loaded = host.run("cat /tmp/restored; rm -f /tmp/restored").splitlines()
    assert loaded == [
        "*filter",
        ":VOS-D - [0:0]",
        '-A VOS-D -p udp -m string --string "other" --algo bm -j DROP',
        "COMMIT",
    ]


def test_a_rule_that_is_moved_by_hand_makes_the_whole_family_load(host: Machine) -> None:
    host.settle(wanted("a", "b", "c", "d"))
    host.run("iptables -D VOS-B 1")
    host.settle(wanted("a", "b", "c", "other"))
    assert "other" in host.rules()
    assert "-A VOS-B -p udp -m string --string" in host.rules()


@pytest.mark.parametrize(
    "rule",
    [
        "-A VOS-D -p udp -j TPROXY --on-port 5060",  # a target of another table
        "-A VOS-D -j VOS-INPUT",  # a loop through chains that stay
        "-A VOS-D -m set --match-set vos-nowhere src -j DROP",
    ],
)
def test_a_new_rule_that_the_kernel_refuses_changes_nothing(host: Machine, rule: str) -> None:
    host.settle(wanted("a", "b", "c", "d"))
    before = host.rules()
    answer = host.apply(wanted("a", "b", "other", "d", more=f"{rule}\n"))
    assert answer["op"] == "error", answer
    assert "VOS-D" in answer["error"] or "vos-nowhere" in answer["error"]
    assert host.rules() == before
    assert rulesets(host, wanted("a", "b", "c", "d"))["4"]["intact"]
