"""How long a packet filter of 100,000 peers takes to compile and to load, and what reloading does to traffic.

``firewall-compile-100000``: a process of its own compiles one node's filter, sets and both families' rules, from a
site that has been read; ``-read`` is reading and checking its YAML before that.
``firewall-load-100000``: what the boot unit runs, against ``iptables-restore`` of a rule for each peer.
``firewall-reload-loss``: 1,000 packets a second from a trusted peer while the node agent's own code loads one
filter and the other in turn, 200 times, every set and both families changed each time; what does not arrive is
lost. Beside it a scanner sends as fast: what of it arrives has met a filter that was not there. The guides' script,
which flushes and then adds rule by rule, is run as often.
"""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.firewall_bed import (
    PEER_REQUEST,
    Bed,
    Node,
    bed,
    compiled,
    guides_rules,
    linear,
    ours,
    peers,
    result,
    write_site,
)
from vosctl.compile.desired import Desired

NAMES = ("firewall-compile-100000", "firewall-load-100000", "firewall-reload-loss")

_RCVBUFFORCE = 33  # asm-generic/socket.h; Python has no name for it
_MANY = 100_000
_RELOADS, _RATE = 200, 1000
_TARGET_SECONDS = 2.0
_SCAN = b"OPTIONS sip:100@node SIP/2.0\r\nUser-Agent: friendly-scanner\r\nContent-Length: 0\r\n\r\n"

_COMPILE = """
import json, sys, time
from pathlib import Path
from vosctl.compile.firewall import packet_filter
from vosctl.site.read import SiteOptions, read_site
begun = time.perf_counter()
site, problems = read_site(SiteOptions(inventory=(Path(sys.argv[1]),)))
problems.raise_errors()
read = time.perf_counter()
made = packet_filter(site, site.nodes["edge"])
done = time.perf_counter()
members = max(len(each.members) for each in made.sets)
print(json.dumps({"read": read - begun, "compile": done - read, "members": members}))
"""

# Runs inside the node: the agent's own functions, between two filters that differ in every set and rule.
_RELOAD = """
import json, sys, time
from vosctl.push.agent import firewall, ipsets, rules
from vosctl.push.agent.node import Node
filters = json.load(open(sys.argv[1]))
for number in range(int(sys.argv[2])):
    one = filters[number % 2]
    now = firewall.look(Node())
    put = {s["name"]: ipsets.IpSet(s["type"], s["family"], s["maxelem"], sorted(s["members"]), s["options"])
           for s in one["sets"] if not s["options"]}
    target = {r["family"]: rules.wanted_tables(r["text"], r["hooks"]) for r in one["rulesets"]}
    change = firewall.Change(put, target, {s["name"] for s in one["sets"]})
    change.apply_sets()
    change.apply_rules()
"""


def run(name: str) -> list[dict[str, Any]]:
    """Return the figures of one bench."""
    if name == "firewall-compile-100000":
        return _compile(name)
    with bed() as made:
        return _load(made, name) if name == "firewall-load-100000" else _reload(made, name)


def _compile(name: str) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="vosctl-bench-") as folder:
        inventory = write_site(Path(folder), peers(_MANY), password=True)
        runs = [_measured(inventory) for _ in range(3)]
    if any(each["members"] != _MANY for each in runs):
        raise RuntimeError(f"compiled {runs[0]['members']} peers")
    median = {part: round(statistics.median(each[part] for each in runs), 3) for part in ("compile", "read")}
    return [
        result(name, median["compile"], "s", "target", _TARGET_SECONDS, bench=name),
        result(
            f"{name}-read",
            median["read"],
            "s to read the YAML",
            "compiling it",
            median["compile"],
            bench=name,
        ),
    ]


def _measured(inventory: Path) -> dict[str, float]:
    done = subprocess.run(
        (sys.executable, "-c", _COMPILE, str(inventory)), capture_output=True, text=True, check=False, timeout=120
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _load(made: Bed, name: str) -> list[dict[str, Any]]:
    members = peers(_MANY)
    loads = {"ours": ours(compiled(members)), "linear": linear(members)}
    times: dict[str, float] = {}
    for label, load in loads.items():
        node = made.node(lambda _: None)
        begun = time.perf_counter()
        load(node)
        times[label] = round(time.perf_counter() - begun, 3)
    return [result(name, times["ours"], "s", "a rule a peer", times["linear"], bench=name)]


def _reload(made: Bed, name: str) -> list[dict[str, Any]]:
    members = peers(1000)
    both = [compiled(members), compiled([*members, "203.0.113.0/25", "2001:db8:5::/64"], password=True)]
    node = made.node(ours(both[0]))
    file = made.folder / "filters.json"
    file.write_text(json.dumps([_wanted(each) for each in both]))
    node.unplug_socket()
    with _streams(made, node) as counted:
        begun = time.perf_counter()
        node.run(sys.executable, "-c", _RELOAD, str(file), str(_RELOADS))
        spent = time.perf_counter() - begun
    other = made.node(lambda _: None)
    script = made.folder / "script.sh"
    script.write_text(_script(guides_rules(members[:10])))
    other.unplug_socket()
    with _streams(made, other) as theirs:
        begun = time.perf_counter()
        for _ in range(_RELOADS):
            other.run("sh", "-e", str(script))
        slow = time.perf_counter() - begun
    script_words = f"guides' script, {_RELOADS} times"
    return [
        result(
            name,
            counted["lost"],
            f"packets lost of {counted['sent']:,}",
            script_words,
            theirs["lost"],
            bench=name,
        ),
        result(
            f"{name}-open",
            counted["open"],
            "scans that got in meanwhile",
            script_words,
            theirs["open"],
            bench=name,
        ),
        result(f"{name}-time", _each(spent), "ms a reload", "guides' script", _each(slow), bench=name),
    ]


def _each(seconds: float) -> float:
    return round(1000 * seconds / _RELOADS, 1)


def _wanted(desired: Desired) -> dict[str, Any]:
    return {
        "sets": [
            {"name": s.name, "type": s.type, "family": s.family, "maxelem": s.maxelem, "members": list(s.members), "options": s.options}
            for s in desired.sets
        ],
        "rulesets": [
            {"family": r.family, "text": r.text, "hooks": [[h.table, h.parent, h.chain] for h in r.hooks]}
            for r in desired.rulesets
        ],
    }  # fmt: skip


def _script(text: str) -> str:
    """Return restore input as the commands of a script that flushes first."""
    lines = [line for line in text.splitlines() if line.startswith(("-A", ":"))]
    made = ["iptables-nft -F", "iptables-nft -X"]
    made += [
        f"iptables-nft -N {line[1:].split()[0]}" for line in lines if line[0] == ":" and "INPUT" not in line
    ]
    return "\n".join((*made, *(f"iptables-nft {line}" for line in lines if line[0] == "-"), ""))


@contextmanager
def _streams(made: Bed, node: Node) -> Iterator[dict[str, int]]:
    """Send a peer's stream and a scanner's meanwhile; afterwards tell what was lost and what got in."""
    heard = node.listen()
    heard.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, 1 << 24)
    heard.settimeout(0.5)
    senders = [
        made.sender(node, PEER_REQUEST, peers(10)),
        made.sender(node, _SCAN, [f"198.18.{number}.7" for number in range(250)]),
    ]
    over = threading.Event()
    arrived = {"INVITE": 0, "OPTIONS": 0}
    reader = threading.Thread(target=_count, args=(heard, arrived, over))

    def stream(at: int) -> None:
        while not over.is_set():
            senders[at].run(_RATE // 2, _RATE)

    threads = [threading.Thread(target=stream, args=(at,)) for at in range(2)]
    told: dict[str, int] = {}
    reader.start()
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.6)
        yield told
    finally:
        over.set()
        for thread in (*threads, reader):
            thread.join()
        heard.close()
    told.update(sent=senders[0].sent, lost=senders[0].sent - arrived["INVITE"], open=arrived["OPTIONS"])


def _count(heard: socket.socket, arrived: dict[str, int], over: threading.Event) -> None:
    """Count what arrives until the senders are done and half a second has passed without a packet."""
    while True:
        try:
            arrived[heard.recv(2048).split(b" ", 1)[0].decode()] += 1
        except TimeoutError:
            if over.is_set():
                return
