"""The test bed of the packet filter's benches: nodes with one filter each, and a sender with a cable to every one.

Method: the sender (``sipsend.c``) is one thread, pinned, with real-time priority. On a veth pair the receive
path of the far namespace runs in the sender's own context, as a softirq at the end of each transmission. So
the time of a packet is that of sending it, of the whole receive path with the filter, and of dropping it at
the port's socket, whose buffer is full. What the filter costs is what a node with rules takes more than a
node without any. All filters of a comparison are loaded at the same time, each in a namespace of its own,
and take turns in short rounds; figures are medians over the rounds, so what the machine does meanwhile hits
all of them alike. Counters of the rules prove that the packets took the way that is meant.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import socket
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address, ip_network
from pathlib import Path
from typing import Any

from bench.relay_bed import PRIORITY, _enter
from vosctl.compile.desired import Desired
from vosctl.compile.site import compile_site
from vosctl.site.read import SiteOptions, read_site

_SOURCES = Path(__file__).parent
_FIRST = int(IPv4Address("11.0.0.1"))
NODE, WORLD = "10.79.0.1", "10.79.0.2"
CORE = 1
PEER_REQUEST = (
    b"INVITE sip:442071838750@node SIP/2.0\r\nVia: SIP/2.0/UDP peer:5060;branch=z9hG4bKx\r\n"
    b"From: <sip:a@peer>;tag=1\r\nTo: <sip:442071838750@node>\r\nCall-ID: 1@peer\r\nCSeq: 1 INVITE\r\n"
    b"Contact: <sip:a@peer>\r\nMax-Forwards: 70\r\nUser-Agent: Asterisk PBX 18.9\r\nContent-Length: 0\r\n\r\n"
)

Load = Callable[["Node"], None]
guides_rules: Callable[..., str] = runpy.run_path(str(_SOURCES.parent / "tests/firewall/guides_script.py"))[
    "restore_input"
]


def peers(count: int) -> list[str]:
    """Return so many peer addresses, no two of them neighbours that one network could hold."""
    return [str(IPv4Address(_FIRST + 2 * number)) for number in range(count)]


def spread(members: Sequence[str], most: int = 10) -> list[str]:
    """Return up to ``most`` members from all over the list: those that send."""
    step = max(1, len(members) // most)
    return list(members[step // 2 :: step])[:most]


def write_site(folder: Path, members: Sequence[str], *, password: bool = False) -> Path:
    """Write a site of one node with these trusted peers; return its inventory."""
    (folder / "group_vars").mkdir(parents=True, exist_ok=True)
    (folder / "hosts.yml").write_text(f"all:\n  hosts:\n    edge: {{host: {NODE}}}\n", encoding="ascii")
    trusted = "".join(f"    - {member}\n" for member in members)
    more = ""
    if password:
        more = (
            "gateways:\n  roaming: {type: mapping, auth: password, username: roaming, "
            'password: "Zr77kTq8vB2m", tier: small, codecs: [PCMA]}\n'
        )
    text = (
        f"demo: true\nfirewall:\n  admin: [{WORLD}]\n  management: {{ssh: [22]}}\n  trusted:\n{trusted}{more}"
    )
    (folder / "group_vars/all.yml").write_text(text, encoding="ascii")
    return folder / "hosts.yml"


def compiled(members: Sequence[str], *, password: bool = False) -> Desired:
    """Return the node's desired state as compiled from YAML."""
    with tempfile.TemporaryDirectory(prefix="vosctl-bench-") as folder:
        site, problems = read_site(
            SiteOptions(inventory=(write_site(Path(folder), members, password=password),))
        )
    problems.raise_errors()
    return compile_site(site, release=None)["edge"]


def ours(desired: Desired) -> Load:
    """Return what loads a compiled filter as its boot unit does."""

    def load(node: Node) -> None:
        sets = next(file.content for file in desired.files if file.path.endswith("/firewall/sets"))
        node.run("ipset", "-exist", "restore", data=sets)
        for ruleset in desired.rulesets:
            tool = "iptables-nft" if ruleset.family == 4 else "ip6tables-nft"
            node.run(f"{tool}-restore", "--noflush", data=ruleset.text.encode())
            for hook in ruleset.hooks:
                node.run(tool, "-t", hook.table, "-I", hook.parent, "1", "-j", hook.chain)

    return load


def linear(members: Sequence[str]) -> Load:
    """Return what loads a rule for every peer and a drop behind them."""
    rules = "".join(f"-A INPUT -s {m} -p udp -m udp --dport 5060 -j ACCEPT\n" for m in members)
    text = f"*filter\n:INPUT ACCEPT [0:0]\n{rules}-A INPUT -p udp -m udp --dport 5060 -j DROP\nCOMMIT\n"
    return lambda node: _discard(node.run("iptables-nft-restore", data=text.encode()))


def guides(members: Sequence[str]) -> Load:
    """Return what loads the guides' script with these trusted addresses."""
    return lambda node: _discard(node.run("iptables-nft-restore", data=guides_rules(members).encode()))


def bare(node: Node) -> None:
    """Load nothing but connection tracking, which every filter here brings with it."""
    text = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -i lo -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n"
    node.run("iptables-nft-restore", data=text.encode())


def _discard(_: object) -> None:
    return


class Node:
    """A namespace with one filter, the cable to it, and a full socket on its SIP port."""

    def __init__(self, name: str, cable: str) -> None:
        self.name = name
        self.cable = cable
        self._socket: socket.socket | None = None

    def open(self, world: str) -> None:
        """Make it, with no rules; raises ``subprocess.CalledProcessError``."""
        _ip("netns", "add", self.name)
        _ip("link", "add", "eth0", "netns", self.name, "type", "veth", "peer", self.cable, "netns", world)
        for space, device, host in (
            (self.name, "eth0", NODE),
            (self.name, "lo", ""),
            (world, self.cable, ""),
        ):
            if host:
                _ip("-n", space, "addr", "add", f"{host}/24", "dev", device)
            _ip("-n", space, "link", "set", device, "up")
        _ip("-n", self.name, "neigh", "replace", WORLD, "lladdr", "02:00:00:00:00:99", "dev", "eth0", "nud", "permanent")  # fmt: skip
        _ip("-n", self.name, "route", "add", "default", "via", WORLD)
        for key in ("all", "eth0"):
            self.run("sysctl", "-qw", f"net.ipv4.conf.{key}.rp_filter=0")
        self._socket = self.listen()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)

    def listen(self) -> socket.socket:
        """Return a socket on the node's SIP port."""
        with self.inside():
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((NODE, 5060))
        return made

    def close(self) -> None:
        """Take it away."""
        if self._socket is not None:
            self._socket.close()
        subprocess.run(("ip", "netns", "del", self.name), check=False, capture_output=True)

    def unplug_socket(self) -> None:
        """Close the full socket, for a bench that reads what arrives."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be in this namespace: sockets made meanwhile stay there."""
        with (
            Path("/proc/thread-self/ns/net").open("rb") as here,
            Path("/run/netns", self.name).open("rb") as there,
        ):
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(here.fileno())

    def run(self, *words: str, data: bytes | None = None) -> str:
        """Return what a program says inside; raises ``RuntimeError`` with its complaint."""
        done = subprocess.run(
            ("nsenter", f"--net=/run/netns/{self.name}", *words), input=data, capture_output=True, check=False, timeout=300
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr.decode(errors='replace')[-500:]}")
        return done.stdout.decode()

    def link_address(self) -> str:
        """Return the link address of its interface as 12 hex digits."""
        told = json.loads(self.run("ip", "-j", "link", "show", "dev", "eth0"))
        return str(told[0]["address"]).replace(":", "")

    def matched(self, pattern: str) -> int:
        """Return the packets that rules matching ``pattern`` have counted."""
        text = self.run("iptables-nft-save", "-c", "-t", "filter")
        rules = re.findall(r"^\[(\d+):\d+\] (-A .*)$", text, re.MULTILINE)
        return sum(int(packets) for packets, rule in rules if re.search(pattern, rule))


class Sender:
    """The sender on the cable of one node, sending one payload from some sources in turn."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.sent = 0

    def run(self, count: int, rate: int = 0) -> float:
        """Send and return nanoseconds a packet; raises ``RuntimeError`` where some were not sent."""
        self.say(f"run {count} {rate}")
        words = self._process.stdout.readline().split() if self._process.stdout else []
        if len(words) != 2 or words[1] != "0":
            raise RuntimeError(f"the sender failed: {words}")
        self.sent += count
        return int(words[0]) / count

    def say(self, line: str) -> None:
        """Give it a line."""
        if self._process.stdin:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


class Bed:
    """The sender's namespace and the nodes that hang on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tag = f"vosf{os.getpid()}"
        self.world = f"{self._tag}w"
        self._nodes: list[Node] = []
        self._processes: list[subprocess.Popen[str]] = []

    def node(self, load: Load) -> Node:
        """Return a new node with this filter."""
        made = Node(f"{self._tag}n{len(self._nodes)}", f"w{len(self._nodes)}")
        self._nodes.append(made)
        made.open(self.world)
        load(made)
        return made

    def sender(self, node: Node, payload: bytes, sources: Sequence[str]) -> Sender:
        """Return a sender of ``payload`` from these sources to a node."""
        file = self.folder / f"payload{len(self._processes)}"
        file.write_bytes(payload)
        command = ["taskset", "-c", str(CORE), "chrt", "-f", str(PRIORITY), str(self.folder / "sipsend")]
        process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.world}", *command, node.cable, node.link_address(), NODE, str(file)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._processes.append(process)
        made = Sender(process)
        for source in sources:
            made.say(f"source {ip_network(source).network_address}")
        return made

    def close(self) -> None:
        """End the senders and take all namespaces away."""
        for process in self._processes:
            process.terminate()
            process.communicate()
        for node in self._nodes:
            node.close()
        subprocess.run(("ip", "netns", "del", self.world), check=False, capture_output=True)


@contextmanager
def bed() -> Iterator[Bed]:
    """Make a test bed and take it away."""
    if os.geteuid():
        raise PermissionError("the packet filter's benches make network namespaces: run them as root")
    with tempfile.TemporaryDirectory(prefix="vosctl-bench-") as folder:
        program = Path(folder, "sipsend")
        flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra"]
        subprocess.run(["cc", *flags, "-o", str(program), str(_SOURCES / "sipsend.c")], check=True)
        made = Bed(Path(folder))
        try:
            _ip("netns", "add", made.world)
            _ip("-n", made.world, "link", "set", "lo", "up")
            yield made
        finally:
            made.close()


def in_turns(senders: dict[str, tuple[Sender, int]], rounds: int) -> dict[str, float]:
    """Return each sender's median nanoseconds a packet: so many packets each, in turns, after a round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in senders}
    for number in range(rounds + 1):
        for name, (sender, count) in senders.items():
            spent = sender.run(count)
            if number:
                times[name].append(spent)
    return {name: statistics.median(found) for name, found in times.items()}


def result(
    name: str, figure: float, unit: str, peer: str, peer_figure: float, *, bench: str
) -> dict[str, Any]:
    """Return a figure as ``python -m bench`` wants it."""
    return {
        "name": name, "figure": figure, "unit": unit, "peer": peer, "peer_figure": peer_figure,
        "ratio": round(figure / peer_figure, 4) if peer_figure else None,
        "command": f"make bench ONLY={bench}",
    }  # fmt: skip


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True)
