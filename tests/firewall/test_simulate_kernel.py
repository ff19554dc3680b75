"""The simulator against the kernel: random packets through random rules, every rule's counter as predicted."""

from __future__ import annotations

import os
import random
import re
import socket
import time
from ipaddress import ip_network

import pytest
from msgspec.structs import replace
from packet_lab import NODE, WORLD4, WORLD6, Lab, run
from random_filters import PEERS, Rules, Strangers, flood, packet, policy
from wire_packets import wire

from vosctl.firewall.simulate.match import Steady, World, memberships
from vosctl.firewall.simulate.packet import UDP, Packet
from vosctl.firewall.simulate.parse import parse
from vosctl.firewall.simulate.rules import U32, HasText
from vosctl.firewall.simulate.walk import follow

pytestmark = [pytest.mark.netns, pytest.mark.requires("iptables", "ip6tables", "ipset", "conntrack")]

_COUNTED = re.compile(r"^\[(\d+):\d+\] -A (VOS-\S+)", re.MULTILINE)
_KERNEL = tuple(int(word) for word in os.uname().release.split(".")[:2])
_SECOND = {4: "10.231.0.9", 6: "fd00:231::9"}
_ELSEWHERE = ("192.0.2.0/24", "203.0.113.0/24", "198.51.100.0/24", "198.18.0.0/15", "2001:db8::/32")
_MARKED = {4: (socket.IPPROTO_IP, socket.IP_TOS), 6: (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)}
_BATCH = 60
_FEWEST_FLOODED = 150
_SLOWEST_BATCH = 5  # seconds; no source comes near a budget
_SLOWEST_FLOOD = 0.05  # seconds in which the largest budget here (10 a second) grows by half a packet
_LAST_REPORT = 2.2  # seconds after which a link that came up has told its multicast groups twice (RFC 3810)


class Counting:
    """Budgets as the kernel keeps them, as long as no time passes."""

    def __init__(self):
        self._used, self._held = {}, {}

    def is_over(self, test, packet):
        bits = packet.source.max_prefixlen if test.bits < 0 else min(test.bits, packet.source.max_prefixlen)
        key = (test.name, packet.source.supernet(new_prefix=bits)) if test.name else id(test)
        if self._used.setdefault(key, 0) >= test.burst:
            return True
        self._used[key] += 1
        return False

    def connections(self, test, packet):
        held = self._held.setdefault((test, packet.source.supernet(new_prefix=test.bits)), set())
        held.add((packet.source, packet.sport, packet.dport))
        return len(held)


@pytest.fixture(scope="module", params=["nft", "legacy"])
def quiet_lab(request):
    """A lab in which nothing but the test speaks: no neighbour discovery, no router solicitation."""
    made = Lab(request.param)
    try:
        made.start()
        for name, link, addresses in (
            (made.world, "wire", ()), (made.node, "eth0", (f"{_SECOND[4]}/24", f"{_SECOND[6]}/64")),
        ):  # fmt: skip
            run("ip", "-n", name, "link", "set", link, "addrgenmode", "none")
            run("ip", "-n", name, "-6", "address", "flush", "dev", link, "scope", "link")
            for address in addresses:
                run(
                    "ip",
                    "-n",
                    name,
                    "address",
                    "add",
                    address,
                    "dev",
                    link,
                    *(("nodad",) if ":" in address else ()),
                )
        mac = run("ip", "-n", made.world, "-br", "link", "show", "wire").stdout.split()[2]
        for address in (WORLD4, WORLD6):
            run("ip", "-n", made.node, "neighbour", "replace", address, "lladdr", mac, "dev", "eth0")
        # Answers that leave the node must end there: a reset would be one more packet, a closed connection one less.
        for prefix in _ELSEWHERE:
            run("ip", "-n", made.world, "route", "delete", "local", prefix, "dev", "lo")
            run("ip", "-n", made.world, "route", "add", "blackhole", prefix)
        run("ip", "-n", made.world, "route", "add", "blackhole", "11.0.0.0/8")
        for port in (22, 80, 5060, 5061, 5080, 8080, 9100):
            made.tcp_listener(4, port).listen(4096)
            listener = made.socket(made.node, 6, socket.SOCK_STREAM)
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(("", port))
            listener.listen(4096)
        time.sleep(_LAST_REPORT)
        yield made
    finally:
        made.stop()


def counted(lab, ruleset):
    """Return the packets of each rule, by table, chain and number."""
    found, seen = {}, {}
    table = ""
    for line in lab.saved(ruleset.family).splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif match := _COUNTED.match(line):
            seen[table, match[2]] = seen.get((table, match[2]), 0) + 1
            found[table, match[2], seen[table, match[2]]] = int(match[1])
    return found


def watched(ruleset, *, leaving):
    """Return the rules whose counters nothing else moves: the node's own TCP stack answers, and answers again."""
    outer = {hook.chain for hook in ruleset.hooks if hook.parent == "OUTPUT"}
    return {
        (rule.table, rule.chain, rule.number)
        for place, rules in parse(ruleset.text).items()
        for rule in rules
        if place[1] not in outer or (leaving and "-p tcp" not in rule.text)
    }


class Duel:
    """One ruleset in the kernel and in the simulator."""

    def __init__(self, lab, desired, ruleset, *, leaving=False):
        self.lab, self.ruleset = lab, ruleset
        self.world = World(memberships(desired.sets), Counting(), _KERNEL)
        self.watched = watched(ruleset, leaving=leaving)
        self.expected = dict.fromkeys(counted(lab, ruleset), 0)
        self.sent = 0

    def send(self, packets, *, slowest=_SLOWEST_BATCH):
        """Send all packets whose way the simulator knows: not those in whose checksums a text may stand."""
        log = []
        for one in packets:
            if not self._is_certain(one):
                continue
            log.append(self._predicted(one))
        data = [wire(one) for one, _ in log]
        started = time.monotonic()
        self.lab.raw(data, self.ruleset.family)
        if time.monotonic() - started > slowest:
            return  # budgets filled up again meanwhile, and nobody knows by how much
        self.sent += len(log)
        self._compare(log)

    def exchange(self, flows):
        """Have the node send, then be answered."""
        log = []
        for one in flows:
            with self.lab.udp(self.lab.node, one.family, NODE[one.family], one.sport) as sender:
                level, option = _MARKED[one.family]
                sender.setsockopt(level, option, one.dscp << 2)
                sender.sendto(one.payload, (str(one.destination.network_address), one.dport))
            log.append(self._predicted(one))
        answers = [
            replace(one, source=one.destination, destination=one.source, sport=one.dport, dport=one.sport,
                    outgoing=False, state="ESTABLISHED", original=False) for one in flows
        ]  # fmt: skip
        self._compare(log)
        self.lab.raw([wire(one) for one in answers], self.ruleset.family)
        self._compare([self._predicted(one) for one in answers])
        self.sent += 2 * len(flows)

    def _predicted(self, one):
        """Return the packet with the rules that it should hit, and count on that."""
        journey = follow(self.ruleset, one, self.world)
        assert not journey.unknown, (one, journey.unknown[0])
        hits = [step.rule for step in journey.steps if step.holds]
        for rule in hits:
            self.expected[rule.table, rule.chain, rule.number] += 1
        return one, hits

    def _is_certain(self, one):
        """Whether no bytes that are not known (checksums, sequence numbers) have a say on any way."""
        trial = World(self.world.sets, Steady(None, None), _KERNEL, dict(self.world.touched))
        unknown = follow(self.ruleset, one, trial).unknown
        return not any(isinstance(c.test, (HasText, U32)) for step in unknown for c in step.rule.conditions)

    def _compare(self, log):
        deadline = time.monotonic() + 3
        while (wrong := self._wrong()) and time.monotonic() < deadline:
            time.sleep(0.01)
        rules = {
            (r.table, r.chain, r.number): r for found in parse(self.ruleset.text).values() for r in found
        }
        told = [
            f"{rules[key].text}\n    kernel {kernel}, simulator {mine}"
            for key, (kernel, mine) in wrong.items()
        ]
        who = [f"{one}" for one, hits in log if any((r.table, r.chain, r.number) in wrong for r in hits)]
        assert not wrong, "\n".join((*told, *who[:8], self.ruleset.text if len(wrong) > 99 else ""))

    def _wrong(self):
        kernel = counted(self.lab, self.ruleset)
        return {
            key: (kernel[key], mine)
            for key, mine in self.expected.items()
            if kernel[key] != mine and key in self.watched
        }


def dice_of_the_day():
    seed = int(os.environ.get("VOSCTL_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"seed {seed}: VOSCTL_SEED={seed} runs it again")
    return random.Random(seed)


def fresh(lab, desired):
    lab.wipe()
    text = [f"create {s.name} {s.type} family {'inet' if s.family == 4 else 'inet6'}" for s in desired.sets]
    text += [f"add {s.name} {member}" for s in desired.sets for member in s.members]
    lab.in_node("ipset", "restore", data="\n".join((*text, "")))
    for ruleset in desired.rulesets:
        command = lab.tool("iptables" if ruleset.family == 4 else "ip6tables")
        lab.in_node(f"{command}-restore", "--noflush", data=ruleset.text)
        for hook in ruleset.hooks:
            lab.in_node(command, "-t", hook.table, "-A", hook.parent, "-j", hook.chain)
    lab.in_node("conntrack", "-F")


def test_compiled_policies(quiet_lab):
    dice, strangers = dice_of_the_day(), Strangers()
    sent = 0
    for _ in range(10):
        desired = policy(dice)
        fresh(quiet_lab, desired)
        for ruleset in desired.rulesets:
            duel = Duel(quiet_lab, desired, ruleset)
            for _ in range(2):
                duel.send([one(dice, ruleset.family, strangers) for _ in range(_BATCH)])
            duel.send(flood(dice, ruleset.family, strangers), slowest=_SLOWEST_FLOOD)
            sent += duel.sent
    assert sent >= 2400 + _FEWEST_FLOODED


def one(dice, family, strangers):
    return packet(dice, family, strangers, destination=dice.choice((NODE, NODE, _SECOND))[family])


def test_every_match_alone_and_together(quiet_lab):
    dice, strangers = dice_of_the_day(), Strangers()
    sent = 0
    for turn in range(18):
        family = 4 if turn % 2 else 6
        desired = Rules(dice, family).desired()
        fresh(quiet_lab, desired)
        duel = Duel(quiet_lab, desired, desired.rulesets[0])
        for _ in range(2):
            duel.send([one(dice, family, strangers) for _ in range(_BATCH)])
        sent += duel.sent
    assert sent >= 1300


def test_flows_that_the_node_began_and_what_leaves_it(quiet_lab):
    """The node sends first, marked and unmarked, then the answer comes in: ESTABLISHED, the other way round."""
    dice, strangers = dice_of_the_day(), Strangers()
    sent = 0
    for turn in range(8):
        desired = policy(dice)
        fresh(quiet_lab, desired)
        for ruleset in desired.rulesets:
            duel = Duel(quiet_lab, desired, ruleset, leaving=True)
            duel.exchange([flow(dice, ruleset.family, strangers, turn) for _ in range(30)])
            sent += duel.sent
    assert sent == 8 * 2 * 30 * 2


def flow(dice, family, strangers, turn):
    """Return a datagram of the node's own to some far end."""
    far = dice.choice((strangers.next(family), strangers.next(family), dice.choice(PEERS[family])))
    near = dice.choice((53, 2223, 16390, 20000 + turn, 30001, 5060))
    while not strangers.is_new(far, near):
        far = strangers.next(family)
    return Packet(
        source=ip_network(NODE[family]),
        destination=ip_network(far),
        protocol=UDP,
        sport=near,
        dport=dice.choice((5060, 20000, 53, dice.randint(1024, 65535))),
        interface="eth0",
        payload=dice.choice(
            (b"OPTIONS sip:a SIP/2.0\r\n", b"SIP/2.0 200 OK\r\nCSeq: 7 REGISTER\r\n\r\n", b"x" * 60)
        ),
        dscp=dice.choice((0, 0, 46)),
        outgoing=True,
    )
