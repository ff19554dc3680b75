"""A SIP scanner's burst against a node, what of it a proxy would have seen, and what the firewall counted."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from vosctl.demo.ground import Ground
from vosctl.fleet import Fleet

SIP = 5060
TABLES = ("raw", "mangle", "filter")
_DROPS = "VOS-DROP-"
_COMMENT = re.compile(r"/\* (.*) \*/")
_PACE_SECONDS = 0.001
_SETTLE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Burst:
    """Requests of one kind from one host: ``count`` of them, at most 2,000."""

    name: str
    host: str
    method: str
    agent: str
    count: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many requests of a burst were sent, and how many reached the proxy's port."""

    burst: Burst
    sent: int
    reached: int


@dataclass(frozen=True, slots=True)
class Counter:
    """A dropping rule of the node's firewall, by its comment where it has one, and what it has caught."""

    table: str
    chain: str
    rule: str
    packets: int


def run(ground: Ground, target: str, bursts: Iterable[Burst]) -> list[Outcome]:
    """Send the bursts one after another to ``target`` and return what became of each."""
    address = ground.addresses[target]
    proxy = ground.inside(target, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    proxy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    proxy.bind((address, SIP))
    proxy.settimeout(0.05)
    arrived: list[bytes] = []
    done = threading.Event()
    thread = threading.Thread(target=_collect, args=(proxy, arrived, done), daemon=True)
    thread.start()
    try:
        sent = [(burst, _send(ground, burst, address)) for burst in bursts]
        time.sleep(_SETTLE_SECONDS)
    finally:
        done.set()
        thread.join()
        proxy.close()
    return [Outcome(burst, count, sum(_tag(burst) in packet for packet in arrived)) for burst, count in sent]


def counters(fleet: Fleet, node: str) -> list[Counter]:
    """Return every dropping rule in vosctl's own chains with its packet count, as the kernel has it."""
    found: list[Counter] = []
    for table in TABLES:
        listing = fleet.exec(node, ("iptables", "-w", "-t", table, "-nvxL")).stdout
        found.extend(parse(table, listing))
    return found


def parse(table: str, listing: str) -> list[Counter]:
    """Return the dropping rules of ``iptables -nvxL`` that stand in vosctl's own chains."""
    found, chain = [], ""
    for line in listing.splitlines():
        words = line.split()
        if line.startswith("Chain "):
            chain = words[1]
        elif chain.startswith("VOS-") and len(words) > 3 and words[0].isdigit() and _drops(chain, words[2]):
            rule = " ".join(words[9:])
            comment = _COMMENT.search(rule)
            found.append(Counter(table, chain, comment[1] if comment else rule, int(words[0])))
    return found


def _drops(chain: str, target: str) -> bool:
    """Whether a rule of ``chain`` drops, by itself or in a chain that reports it first; those count nothing anew."""
    return not chain.startswith(_DROPS) and (target == "DROP" or target.startswith(_DROPS))


def _tag(burst: Burst) -> bytes:
    return f";tag={burst.name.replace(' ', '-')}\r\n".encode()


def _send(ground: Ground, burst: Burst, address: str) -> int:
    client = ground.inside(burst.host, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with client:
        client.bind((ground.addresses[burst.host], 0))
        for number in range(min(burst.count, 2000)):
            client.sendto(_request(burst, address, ground.addresses[burst.host], number), (address, SIP))
            time.sleep(_PACE_SECONDS)
    return burst.count


def _request(burst: Burst, address: str, source: str, number: int) -> bytes:
    user = 100 + number
    agent = f"User-Agent: {burst.agent}\r\n" if burst.agent else ""
    return (
        f"{burst.method} sip:{user}@{address} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {source}:5060;branch=z9hG4bK-{number};rport\r\n"
        f"From: <sip:{user}@{address}>".encode()
        + _tag(burst)
        + f"To: <sip:{user}@{address}>\r\n"
        f"Call-ID: {number}@{source}\r\nCSeq: {number + 1} {burst.method}\r\n"
        f"{agent}Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n".encode()
    )


def _collect(proxy: socket.socket, arrived: list[bytes], done: threading.Event) -> None:
    while not done.is_set():
        try:
            arrived.append(proxy.recv(65535))
        except TimeoutError:
            continue
