"""``vosctl apply`` in batches on four nodes with their own kernel firewall and relay, over SSH."""

from __future__ import annotations

import json
import re
import threading

import pytest

from vosctl.cli.main import run
from vosctl.fleet import Fleet, HostSpec
from vosctl.relay.ng import NgClient, NgError

pytestmark = [pytest.mark.netns, pytest.mark.requires("iptables", "ipset")]

NODES = ("edge-a", "edge-b", "edge-c", "edge-d")
KEY = "Hq7TrunkKeyNobodyMaySee9"
HOSTS = """
all:
  vars:
    demo: true
    become: false
    user: root
    private_key: {key}
    known_hosts: {known}
  hosts:
    edge-a: {{host: 10.231.0.2}}
    edge-b: {{host: 10.231.0.3}}
    edge-c: {{host: 10.231.0.4}}
    edge-d: {{host: 10.231.0.5}}
"""
VARS = """
firewall:
  admin: [10.231.255.0/24]
  management: {{ssh: [22]}}
  tests:
    a customer calls: {{src: 192.0.2.10, proto: udp, dport: 5060, expect: accept}}
    a stranger does not: {{src: 198.51.100.99, proto: tcp, dport: 22, expect: drop}}
relay: {{limits: {{cps: 1000, concurrent: 3, duration: 1h}}}}
gateways:
  acme:
    type: mapping
    addresses: [192.0.2.10]
    limits: {{cps: 10, concurrent: 10, duration: 1h}}
    codecs: [PCMA]
  roaming:
    type: mapping
    auth: password
    username: roamer
    password: {key}
    limits: {{cps: 10, concurrent: 10, duration: 1h}}
    codecs: [PCMA]
files:
  /etc/probe.txt: {{content: "{word}"}}
"""
HEALTH = """
  health:
    - {{check: command, run: "{command}"}}
    - {{check: relay, within: 10}}
    - {{check: calls}}
    - {{check: trace}}
    - {{check: command, where: controller, run: 'test -n "$VOSCTL_HOST"', within: 5}}
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    hosts = tuple(HostSpec(name, f"10.231.0.{number}") for number, name in enumerate(NODES, 2))
    with Fleet.up(hosts, tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet


class Site:
    """A site whose file /etc/probe.txt says a word, and how it is rolled out."""

    def __init__(self, folder, fleet):
        self.folder = folder
        (folder / "inventory/group_vars").mkdir(parents=True)
        (folder / "inventory/hosts.yml").write_text(
            HOSTS.format(key=fleet.private_key, known=fleet.known_hosts)
        )

    def says(self, word, *, play="serial: [1, 2]", command="true"):
        (self.folder / "inventory/group_vars/all.yml").write_text(VARS.format(key=KEY, word=word))
        (self.folder / "site.yml").write_text(
            f"- hosts: all\n  {play}\n" + (HEALTH.format(command=command) if command else "")
        )


@pytest.fixture(scope="module")
def site(fleet, tmp_path_factory):
    return Site(tmp_path_factory.mktemp("site"), fleet)


@pytest.fixture
def vosctl(fleet, site, monkeypatch, capsys):
    """Return a function that runs vosctl where the nodes can be reached: exit code and what it wrote."""
    monkeypatch.chdir(site.folder)

    def call(*words):
        code = fleet.inside(None, lambda: run(list(words)))
        shown = capsys.readouterr()
        assert KEY not in shown.out + shown.err
        return code, shown.out, shown.err

    return call


@pytest.fixture
def words(fleet):
    """Return a function that tells what /etc/probe.txt says on each node."""
    return lambda: [fleet.exec(name, ["cat", "/etc/probe.txt"]).stdout for name in NODES]


def outcomes(out):
    recap = out.partition("RECAP")[2]
    return dict(re.findall(r"^(edge-.) +: (\w+)", recap, re.MULTILINE))


def test_batches_one_after_another_each_healthy(site, vosctl, words):
    site.says("one")
    code, planned, err = vosctl("plan", "site.yml")
    assert code == 0, err
    assert "ROLLOUT: 3 batches" in planned
    assert "  2: edge-b, edge-c; then command true, relay, calls, trace, command test" in planned

    code, out, err = vosctl("apply", "site.yml")
    assert code == 0, out + err
    assert outcomes(out) == dict.fromkeys(NODES, "changed")
    assert [line for line in err.splitlines() if line.startswith("batch")] == [
        "batch 1/3: edge-a", "batch 2/3: edge-b, edge-c", "batch 3/3: edge-d",
    ]  # fmt: skip
    assert words() == ["one"] * 4

    (run_file,) = (site.folder / ".vosctl/runs").iterdir()
    journal = json.loads(run_file.read_text())
    assert (journal["state"], journal["nodes"]) == ("done", dict.fromkeys(NODES, "changed"))
    assert KEY not in run_file.read_text()
    assert (site.folder / ".vosctl/.gitignore").read_text().endswith("\n*\n")
    code, out, err = vosctl("apply", "--resume", "site.yml")
    assert (code, "nothing is left" in err) == (0, True)
    assert vosctl("status", "-l", "@failed")[0] == 64


def test_a_batch_that_is_not_healthy_goes_back_and_the_run_is_resumed(fleet, site, vosctl, words):
    fleet.exec("edge-b", ["touch", "/run/unwell"])
    site.says("two", command="test ! -e /run/unwell")
    code, out, err = vosctl("apply", "site.yml")
    assert code == 6, out + err
    assert outcomes(out) == {
        "edge-a": "changed", "edge-b": "rolled_back", "edge-c": "rolled_back", "edge-d": "untouched",
    }  # fmt: skip
    assert "edge-b: health gate command test ! -e /run/unwell: exit code 1" in out
    assert "edge-c: its batch stopped: edge-b: health gate" in out
    assert "not touched: the run stopped in batch 2" in out
    assert words() == ["two", "one", "one", "one"]
    assert vosctl("plan", "-l", "@failed", "--list-hosts")[1].split()[2:] == ["edge-b", "edge-c", "edge-d"]

    code, out, _ = vosctl("history", "edge-b", "--json")
    last = json.loads(out)["edge-b"]["report"]["history"][-1]
    assert (last["result"], last["changed"]) == ("rolled back", ["file /etc/probe.txt"])
    assert "rolled back by" in last["why"]

    fleet.exec("edge-b", ["rm", "/run/unwell"])
    site.says("three", command="test ! -e /run/unwell")
    code, _, err = vosctl("apply", "--resume", "site.yml")
    assert (code, "the site is not any more what the apply at" in err) == (1, True)
    site.says("two", command="test ! -e /run/unwell")
    code, out, err = vosctl("apply", "--resume")
    assert code == 0, out + err
    assert outcomes(out) == dict.fromkeys(NODES[1:], "changed")
    assert "batch 1/2: edge-b, edge-c" in err
    assert words() == ["two"] * 4
    assert "nothing is left" in vosctl("apply", "--resume")[2]


@pytest.mark.parametrize(
    ("most", "code", "expected"),
    [
        ("0", 6, {"edge-a": "failed", "edge-b": "rolled_back", "edge-c": "untouched", "edge-d": "untouched"}),
        ("50", 2, {"edge-a": "failed", "edge-b": "changed", "edge-c": "changed", "edge-d": "changed"}),
    ],
)
def test_more_failures_than_allowed(fleet, site, vosctl, words, most, code, expected):
    """A folder where edge-a should have a file; the plays' own batches and gates are overridden."""
    site.says(f"most {most}", command="false")
    before = words()
    fleet.exec("edge-a", ["sh", "-c", "rm /etc/probe.txt; mkdir /etc/probe.txt"])
    try:
        got, out, err = vosctl(
            "apply", "site.yml", "--serial", "2", "--max-fail-percentage", most, "--no-health"
        )
    finally:
        fleet.exec("edge-a", ["sh", "-c", f"rmdir /etc/probe.txt; printf '{before[0]}' > /etc/probe.txt"])
    assert got == code, out + err
    assert outcomes(out) == expected
    assert words()[1:] == (before[1:] if most == "0" else ["most 50"] * 3)


def test_calls_that_a_change_drops_take_it_back(fleet, site, vosctl, words):
    before = words()
    sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
    with fleet.inside("edge-a", lambda: NgClient(("127.0.0.1", 2223))) as relay:
        relay.offer("kept", "a", sdp)
    site.says("calls stay", play="serial: 1")
    code, out, err = vosctl("apply", "site.yml", "-l", "edge-a")
    assert code == 0, out + err

    hang_up = (
        "python3 -c 'import socket as s; u=s.socket(s.AF_INET,s.SOCK_DGRAM); u.settimeout(3); "
        'u.sendto(bytes.fromhex(\\"3120\\")+b\\"d7:call-id4:kept7:command6:delete8:from-tag1:ae\\",'
        '(\\"127.0.0.1\\",2223)); u.recv(999)\''
    )
    site.says("calls go", command=hang_up)
    code, out, err = vosctl("apply", "site.yml", "-l", "edge-a")
    assert code == 6, out + err
    assert "health gate calls: 1 before, 0 now: more than 0 are gone" in out
    assert words() == ["calls stay", *before[1:]]


def test_calls_that_are_refused_after_a_change_take_it_back(fleet, site, vosctl, words):
    sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
    play = "serial: 1\n  health: [{check: errors, within: 3}]"
    site.says("nobody calls", play=play, command="")
    code, out, err = vosctl("apply", "site.yml", "-l", "edge-c")
    assert code == 0, out + err

    over, refused = threading.Event(), []
    with fleet.inside("edge-c", lambda: NgClient(("127.0.0.1", 2223))) as relay:

        def call_on() -> None:
            for number in range(3_000):
                if over.wait(0.02):
                    break
                try:
                    relay.offer(f"many-{number}", "a", sdp)
                except NgError:
                    refused.append(number)

        caller = threading.Thread(target=call_on)
        caller.start()
        try:
            site.says("too many call", play=play, command="")
            code, out, err = vosctl("apply", "site.yml", "-l", "edge-c")
        finally:
            over.set()
            caller.join()
        for number in range(3):
            relay.delete(f"many-{number}", "a")
    assert refused
    assert code == 6, out + err
    assert re.search(
        r"health gate errors: (\d+) of \1 new calls were refused in 3 s, 1 per cent may be", out
    ), out
    assert words()[2] == "nobody calls"


def test_what_the_kernel_has_loaded_is_proven_again(fleet, site, vosctl):
    """Somebody lets everybody in by hand, right behind the apply: the site's own tests see it."""
    open_up = "iptables -I INPUT -j ACCEPT && iptables -I VOS-INPUT -j ACCEPT"
    site.says("opened", command=open_up)
    code, out, err = vosctl("apply", "site.yml", "-l", "edge-d")
    assert code == 6, out + err
    assert "health gate trace: the test 'a stranger does not' wants drop, what is loaded gives: accept" in out
    fleet.exec("edge-d", ["iptables", "-D", "INPUT", "1"])


def test_a_confirmed_apply_is_taken_back_by_hand_and_history_tells_it(site, vosctl, words):
    site.says("last", play="order: reverse_sorted", command="")
    assert vosctl("apply", "site.yml")[0] == 0
    before = words()
    assert before == ["last"] * 4
    code, out, _ = vosctl("rollback", "-l", "edge-b")
    assert code == 0
    assert words() != before
    code, out, _ = vosctl("history", "edge-b", "-n", "1")
    assert code == 0
    heading, row = out.splitlines()
    assert heading.split() == ["node", "when", "who", "revision", "result", "changed"]
    assert re.search(
        r"^edge-b +\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ +\S+@\S+ .* rolled back: rolled back by \S+@", row
    )
    assert "file /etc/probe.txt" in row


def test_a_stored_plan_is_applied_as_it_stands_or_not_at_all(fleet, site, vosctl, words):
    site.says("planned", command="")
    code, out, err = vosctl("plan", "site.yml", "--out", "plan.json", "--json")
    assert code == 0, out + err
    planned = {name: each["plan"]["changes"] for name, each in json.loads(out).items()}
    text = (site.folder / "plan.json").read_text()
    stored = json.loads(text)
    assert {name: plan["changes"] for name, plan in stored["plans"].items()} == planned
    assert all(json.loads(out)[name]["plan"]["observed"] not in text for name in NODES)
    assert KEY not in text
    before = words()

    site.says("changed since", command="")
    code, _, err = vosctl("apply", "plan.json")
    assert (code, "the site is not any more what the plan of" in err) == (1, True)
    site.says("planned", command="")
    fleet.exec("edge-c", ["sh", "-c", "echo by hand > /etc/probe.txt"])
    code, out, _ = vosctl("apply", "plan.json")
    assert code == 2
    assert outcomes(out) == {name: "failed" if name == "edge-c" else "untouched" for name in NODES}
    assert "edge-c: the node moved since the plan was made" in out
    fleet.exec("edge-c", ["sh", "-c", f"printf '{before[2]}' > /etc/probe.txt"])
    assert vosctl("apply", "plan.json", "-l", "edge-a")[0] == 64
    code, out, err = vosctl("apply", "plan.json", "--json")
    assert code == 0, out + err
    assert {name: each["plan"]["changes"] for name, each in json.loads(out).items()} == planned
    assert words() == ["planned"] * 4
    assert vosctl("apply", "plan.json")[0] == 2  # it was applied: every node moved
