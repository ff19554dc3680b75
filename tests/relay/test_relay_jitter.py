"""Jitter of 5, 15, 50 and 100 ms through a running relay, packet by packet, with the kernel's own arrival times.

All flows run at once: for each preset an adaptive buffer, a fixed one, an adaptive one between SRTP telephones,
and packets that pile up but keep their order. One flow without jitter and without a buffer tells what the machine
itself adds while they run; that much is not the relay's doing and is allowed on top.
"""

from __future__ import annotations

import base64
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jitter_traces as traces
import pytest
from pylibsrtp import Policy, Session
from relay_calls import Node, Phone, g711, target
from test_relay_metrics import get, samples
from test_relay_monitor import INVENTORY, MAIN
from test_relay_srtp import cryptos, savp

pytestmark = [pytest.mark.alone, pytest.mark.slow]

SECONDS = 15
COUNT = SECONDS * 50
LEARNING = 100  # packets, 2 s, in which a buffer gets to know the path
SUITE = "AES_CM_128_HMAC_SHA1_80"
KEYS = [base64.b64encode(bytes(range(first, first + 30))).decode() for first in (1, 101)]
DUPLICATED = range(200, 240, 4)
HELD_BACK = 300  # a packet that comes half a second late


@dataclass
class Flow:
    """A call with one sender, its schedule, and what came of it: (ns, packet) as sent and as received."""

    name: str
    buffer: tuple[str, int, int, int] | None
    trace: traces.Trace
    jitter: float
    secure: bool = False
    packets: list[bytes] = field(default_factory=list)
    sent: list[tuple[int, bytes]] = field(default_factory=list)
    got: list[tuple[int, bytes]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def numbers(self, which: str) -> list[tuple[float, int]]:
        """(ms, number in the trace) of what was sent or received, in that order."""
        base = int.from_bytes(self.packets[0][4:8], "big")
        return [
            (ns / 1e6, (int.from_bytes(packet[4:8], "big") - base) % 2**32 // 160)
            for ns, packet in getattr(self, which)
        ]

    def spacing(self, which: str) -> float:
        """RFC 3550's mean difference of what was sent or received, in ms."""
        return traces.jitter_ms((at, number * traces.PTIME_MS) for at, number in self.numbers(which))

    def waits(self) -> list[float]:
        """For how long each packet was in the relay, in ms."""
        sent = {number: at for at, number in reversed(self.numbers("sent"))}
        return sorted(at - sent[number] for at, number in self.numbers("got"))


def plan() -> Iterator[Flow]:
    for at, (preset, jitter) in enumerate(traces.MATCHING.items()):
        buffer = traces.PRESETS[preset]
        fixed = ("fixed", buffer[1], buffer[2], traces.FIXED[preset])
        trace = traces.reordering(jitter, COUNT, seed=at)
        yield Flow(preset, buffer, trace, jitter)
        yield Flow(f"{preset}-fixed", fixed, traces.reordering(jitter, COUNT, seed=10 + at), jitter)
        yield Flow(
            f"{preset}-srtp", buffer, traces.reordering(jitter, COUNT, seed=20 + at), jitter, secure=True
        )
    for at, (preset, jitter) in enumerate((("lan", 5.0), ("wan", 15.0), ("internet", 25.0))):
        trace = traces.piling(jitter, COUNT, seed=30 + at)
        yield Flow(f"{preset}-piling", traces.PRESETS[preset], trace, jitter)
    yield Flow("counted", traces.PRESETS["wan"], _counted(), 15.0)
    yield Flow("even", None, [(n * traces.PTIME_MS, n) for n in range(COUNT)], 0.0)


def _counted() -> traces.Trace:
    """Some packets come twice, and one so late that its successors have been played."""
    trace = traces.reordering(15.0, COUNT, seed=40)
    again = [(trace[n][0] + 3.0, n) for n in DUPLICATED]
    late = (trace[HELD_BACK][0] + 500.0, HELD_BACK)
    return [*trace[:HELD_BACK], late, *trace[HELD_BACK + 1 :], *again]


class Lines:
    """A telephone at each end of each flow, and the calls that join them."""

    def __init__(self, node: Node, flows: list[Flow], phones: Any) -> None:
        self.node, self.flows = node, flows
        self.pairs = [(phones(), phones()) for _ in flows]
        for flow, (caller, callee) in zip(flows, self.pairs, strict=True):
            node.gateway(flow.name, caller.address)
            node.gateway(f"to-{flow.name}", callee.address)
            if flow.buffer:
                names = ("mode", "min", "max", "start")
                node.config["gateways"][flow.name]["jitter"] = dict(zip(names, flow.buffer, strict=True))
        self.open: dict[str, Session] = {}
        self.to: list[tuple[str, int]] = []

    def call(self, ng: Any) -> None:
        for seed, (flow, (caller, callee)) in enumerate(zip(self.flows, self.pairs, strict=True)):
            names = {"vos_from": flow.name, "vos_to": f"to-{flow.name}"}
            flow.packets = g711(COUNT, seed=seed)
            if flow.secure:
                self.to.append(self._secure(ng, flow, caller, callee, names))
                continue
            ng.offer(flow.name, "f", caller.sdp(), **names)
            self.to.append(target(ng.answer(flow.name, "f", "t", callee.sdp(), **names)))

    def _secure(self, ng: Any, flow: Flow, caller: Phone, callee: Phone, names: Any) -> tuple[str, int]:
        offer = savp(caller.sdp(), f"1 {SUITE} inline:{KEYS[0]}")
        offered = cryptos(ng.offer(flow.name, "f", offer, transport_protocol="RTP/SAVP", **names))
        tag, _, mine = next(one for one in offered if one[1] == SUITE)
        answer = savp(callee.sdp(), f"{tag} {SUITE} inline:{KEYS[1]}")
        to = target(ng.answer(flow.name, "f", "t", answer, **names))
        sender = _session(KEYS[0], Policy.SSRC_ANY_OUTBOUND)
        self.open[flow.name] = _session(mine, Policy.SSRC_ANY_INBOUND)
        flow.packets = [sender.protect(packet) for packet in flow.packets]
        return to

    def talk(self, program: Path) -> None:
        """Send every flow's packets when its trace says, and keep what comes."""
        schedule = sorted(
            (round(1000 * at) + 150_000, index, flow.packets[number].hex())
            for index, flow in enumerate(self.flows)
            for at, number in flow.trace
        )
        lines = [f"flows {len(self.flows)}"]
        for (caller, callee), (host, port) in zip(self.pairs, self.to, strict=True):
            lines.append(f"{caller.rtp.fileno()} {callee.rtp.fileno()} {host} {port}")
        lines += [f"packets {len(schedule)}", *(" ".join(map(str, row)) for row in schedule)]
        sockets = [phone.rtp.fileno() for pair in self.pairs for phone in pair]
        done = subprocess.run(
            [program], input="\n".join(lines), capture_output=True, text=True, check=True, pass_fds=sockets
        )
        for line in done.stdout.splitlines():
            kind, index, ns, packet = line.split()
            flow = self.flows[int(index)]
            (flow.sent if kind == "S" else flow.got).append((int(ns), bytes.fromhex(packet)))

    def look(self) -> None:
        """Keep what ``vosctl calls --json`` says of each flow's first leg."""
        site = self.node.root.with_name("site")
        site.mkdir()
        (site / "hosts.yml").write_text(INVENTORY.format(root=self.node.root, address=self.node.address))
        command = [sys.executable, "-c", MAIN, "calls", "edge-a", "-i", "hosts.yml", "--json"]
        done = subprocess.run(command, cwd=site, capture_output=True, text=True, check=True)
        for call in json.loads(done.stdout)["edge-a"]["report"]["calls"]:
            flow = next(flow for flow in self.flows if flow.name == call["call-id"])
            flow.figures = call["legs"][0]


def _session(key: str, kind: int) -> Session:
    profile = Policy.SRTP_PROFILE_AES128_CM_SHA1_80
    return Session(Policy(key=base64.b64decode(key), ssrc_type=kind, srtp_profile=profile))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("line") / "rtp_line"
    source = Path(__file__).with_name("rtp_line.c")
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["cc", *flags, "-o", str(made), str(source)], check=True)
    return made


@pytest.fixture(scope="module")
def talked(
    tmp_path_factory: pytest.TempPathFactory, program: Path, request: pytest.FixtureRequest
) -> Iterator[dict[str, Any]]:
    """All flows after their 15 s, by name, and the page of metrics."""
    node = Node(tmp_path_factory.mktemp("jitter") / "node", "edge-a")
    node.config["metrics"] = {"listen": [node.address, 9110]}
    made: list[Phone] = []

    def phones() -> Phone:
        made.append(Phone())
        return made[-1]

    lines = Lines(node, list(plan()), phones)
    node.start()
    try:
        with node.client() as ng:
            lines.call(ng)
            lines.talk(program)
            lines.look()
            page = samples(get(node)[1])
        for flow in lines.flows:
            if flow.secure:
                unseal = lines.open[flow.name]
                flow.got = [(ns, unseal.unprotect(packet)) for ns, packet in flow.got]
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            table(lines.flows)
        yield {"page": page, **{flow.name: flow for flow in lines.flows}}
    finally:
        node.stop()
        for phone in made:
            phone.close()


def table(flows: list[Flow]) -> None:
    """Jitter as sent and as it left, what was late, and how long packets were in the relay (99 of 100, and all)."""
    for flow in flows:
        waits = flow.waits()
        print(
            f"\n  {flow.name:16} jitter {flow.spacing('sent'):6.1f} -> {flow.spacing('got'):5.2f} ms"
            f"  late {flow.figures['late']}  waits {waits[len(waits) * 99 // 100]:5.0f} / {waits[-1]:5.0f} ms"
            f"  reordered {flow.figures['reordered']}",
            end="",
        )


FLOWS = [flow.name for flow in plan() if flow.buffer and flow.name != "counted"]


@pytest.mark.parametrize("name", FLOWS)
def test_the_matching_preset_evens_jitter(talked: dict[str, Any], name: str) -> None:
    flow, machine = talked[name], talked["even"].spacing("got")
    assert flow.spacing("sent") == pytest.approx(flow.jitter, rel=0.1, abs=machine)
    assert flow.spacing("got") < 2 + machine
    numbers = [number for _, number in flow.numbers("got")]
    assert numbers == sorted(set(numbers)), "the order is mended, and nothing comes twice"


@pytest.mark.parametrize("name", FLOWS)
def test_playable_packets_are_not_lost(talked: dict[str, Any], name: str) -> None:
    flow, even = talked[name], talked["even"]
    assert len(even.got) == COUNT, "the machine itself loses packets"
    missing = {*range(COUNT)} - {number for _, number in flow.numbers("got")}
    assert len([number for number in missing if number >= LEARNING]) < 0.005 * COUNT
    assert len(missing) < 0.01 * COUNT
    assert flow.figures["late"] == len(missing)
    assert flow.figures["packets"] == COUNT


@pytest.mark.parametrize("name", FLOWS)
def test_the_added_delay_stays_within_the_most(talked: dict[str, Any], name: str) -> None:
    flow, even = talked[name], talked["even"]
    mode, least, most, start = flow.buffer
    slack = statistics.quantiles(even.waits(), n=100)[98] + 1
    longest = statistics.quantiles(flow.waits(), n=100)[98]
    assert longest <= (most if mode == "adaptive" else start) + slack
    assert flow.waits()[0] >= 0
    assert least <= flow.figures["playout_ms"] <= most
    if mode == "fixed":
        assert flow.figures["playout_ms"] == pytest.approx(start, abs=slack)


def test_late_duplicate_and_reordered_are_counted(talked: dict[str, Any]) -> None:
    flow = talked["counted"]
    highest, behind, seen = -1, 0, set()
    for _, number in sorted(flow.trace):
        behind += number < highest and number not in seen
        highest = max(highest, number)
        seen.add(number)
    found = flow.figures
    assert (
        1 <= found["late"] <= 0.005 * COUNT + 1
    )  # the one that was held back; the machine may hold up others
    assert found["duplicate"] == len(DUPLICATED)
    assert found["reordered"] == pytest.approx(
        behind, abs=2
    )  # two that are due within microseconds may change places
    assert found["packets"] == COUNT + len(DUPLICATED)
    assert len(flow.got) == COUNT - found["late"]
    assert found["jitter_ms"] == pytest.approx(15, rel=0.6)
    assert HELD_BACK not in {number for _, number in flow.numbers("got")}


def test_the_metrics_say_the_same(talked: dict[str, Any]) -> None:
    page, figures = talked["page"], talked["counted"].figures
    for name in ("late", "duplicate", "reordered"):
        metric = f'vosctl_relay_{name}_packets_total{{peer="counted"}}'
        assert page[metric] == figures[name]
    seconds = page['vosctl_relay_playout_seconds{peer="counted"}']
    assert seconds == pytest.approx(figures["playout_ms"] / 1000, abs=0.02)
    assert 'vosctl_relay_playout_seconds{peer="even"}' not in page
