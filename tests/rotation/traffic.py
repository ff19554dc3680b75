"""Calls without end over two trunks of a fleet's edges, each byte of each packet checked: python traffic.py FLEET CALLS.

So many calls talk at once, both ways, each for some seconds; one that ends makes room for the next. It goes on
until its standard input ends, then lets the calls end, and prints what became of them as JSON. A call is signalled
as two SIP proxies would do it, and asks again where a relay does not answer for a moment.
"""

from __future__ import annotations

import heapq
import json
import os
import queue
import random
import select
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vosctl.demo import sdp
from vosctl.fleet import Fleet
from vosctl.relay.ng import NgClient, NgError, NgTimeoutError

GAP = 0.2  # seconds between two packets of a direction
LINGER = 0.8  # seconds after the last packet until the call is hung up: the playout buffers are shorter
MOST_SECONDS = 900
TRUNKS = ("ab", "ab-metro")
CUSTOMER, VENDOR = "10.231.0.10", "10.231.0.11"
EDGES = {"edge-a": "10.231.0.2", "edge-b": "10.231.0.3"}


@dataclass
class Call:
    """A call: its number, what its two telephones send to, and what each has heard."""

    number: int
    trunk: str
    packets: int
    phones: tuple[socket.socket, socket.socket]
    targets: list[tuple[str, int]] = field(default_factory=list)
    sent: int = 0
    heard: tuple[set[int], set[int]] = field(default_factory=lambda: (set(), set()))

    def packet(self, side: int, at: int) -> bytes:
        """Return packet ``at`` of the telephone of ``side``: like no other of any call."""
        head = struct.pack("!BBHII", 0x80, 8, at & 0xFFFF, 1600 * at, self.number * 2 + side + 1)
        return head + b"%06d%d%05d" % (self.number, side, at) * 13


class Signalling(threading.Thread):
    """Sets calls up and hangs them up, one after the other, beside the media."""

    def __init__(self, relays: tuple[NgClient, NgClient], ready: queue.SimpleQueue, wake: Callable[[], None]):
        super().__init__(daemon=True)
        self.asked: queue.SimpleQueue = queue.SimpleQueue()
        self.kids: Counter[str] = Counter()
        self.failures: list[str] = []
        self._relays = relays
        self._ready = ready
        self._wake = wake

    def run(self) -> None:
        while (item := self.asked.get()) is not None:
            do, call = item
            try:
                do(self, call)
            except NgError as error:
                self.failures.append(f"call {call.number} over {call.trunk}, {do.__name__}: {error}")
                self._clear(call)
            self._ready.put((do, call))
            self._wake()

    def set_up(self, call: Call) -> None:
        name, (a, b) = f"crowd-{call.number}", self._relays
        offers = [sdp.phone(*phone.getsockname()) for phone in call.phones]
        inward = {"vos_from": "acme", "vos_to": call.trunk}
        outward = {"vos_from": call.trunk, "vos_to": "orbit"}
        trunk = again(a.offer, name, "f", offers[0], received_from=["IP4", CUSTOMER], **inward)
        there = again(b.offer, name, "f", trunk, received_from=["IP4", EDGES["edge-a"]], **outward)
        back = again(b.answer, name, "f", "t", offers[1], received_from=["IP4", VENDOR], **outward)
        here = again(a.answer, name, "f", "t", back, received_from=["IP4", EDGES["edge-b"]], **inward)
        for said in (trunk, back):
            found = sdp.crypto(said)
            self.kids[f"{call.trunk} {found.mode} {found.kid}" if found else f"{call.trunk} none"] += 1
        call.targets = [sdp.media_address(text) for text in (here, there)]

    def _clear(self, call: Call) -> None:
        """Leave nothing of a call behind that did not come about, as proxies do."""
        with suppress(NgError):
            self.hang_up(call)

    def hang_up(self, call: Call) -> None:
        for relay in self._relays:
            again(relay.delete, f"crowd-{call.number}", "f", to_tag="t")


def again(do: Callable, *words, **keys):
    """Say something to a relay; where it does not answer within seconds, once more, as a proxy's timers would."""
    try:
        return do(*words, **keys)
    except NgTimeoutError:
        return do(*words, **keys)


class Crowd:
    """Keeps ``count`` calls talking."""

    def __init__(self, fleet: Fleet, count: int) -> None:
        self._fleet = fleet
        self._count = count
        self._random = random.Random(7)
        self._poll = select.epoll()
        self._heap: list[tuple[float, int, Call]] = []
        self._listening: dict[int, tuple[Call, int]] = {}
        self._spare: list[tuple[socket.socket, socket.socket]] = []
        self._numbers = 0
        self.up = 0
        self.done: Counter[str] = Counter()
        self.spoilt: list[str] = []
        self._ready: queue.SimpleQueue = queue.SimpleQueue()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK)
        self._poll.register(self._bell, select.EPOLLIN)
        relays = tuple(fleet.inside(edge, lambda: NgClient(("127.0.0.1", 2223), tries=8)) for edge in EDGES)
        self._signalling = Signalling(relays, self._ready, lambda: os.eventfd_write(self._bell, 1))
        self._signalling.start()

    def run(self) -> dict:
        began, open_ = time.monotonic(), True
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN | select.EPOLLHUP)
        due = began
        while open_ or self.up:
            now = time.monotonic()
            if open_ and now >= due and self.up < self._count:
                self._begin()
                due = max(due + 0.009, now - 0.1)
            if self._speak(now):
                continue
            wait = min(self._heap[0][0] if self._heap else now + 0.05, now + 0.01) - time.monotonic()
            for number, _ in self._poll.poll(max(0.0, wait)):
                if number == sys.stdin.fileno():
                    open_ = False
                    self._poll.unregister(number)
                elif number == self._bell:
                    os.eventfd_read(self._bell)
                    self._take()
                else:
                    self._hear(number)
            open_ = open_ and now - began < MOST_SECONDS
        self._signalling.asked.put(None)
        self._signalling.join()
        return {
            "seconds": round(time.monotonic() - began, 1),
            **self.done,
            "failures": self._signalling.failures[:20],
            "spoilt": self.spoilt[:20],
            "kids": self._signalling.kids,
        }

    def _begin(self) -> None:
        phones = self._spare.pop() if self._spare else (self._phone("customer"), self._phone("vendor"))
        trunk = TRUNKS[self._numbers % 2]
        self._numbers += 1
        call = Call(self._numbers, trunk, self._random.randint(8, 20), phones)
        for side in (0, 1):
            self._listening[phones[side].fileno()] = (call, side)
        self.up += 1
        self._signalling.asked.put((Signalling.set_up, call))

    def _phone(self, host: str) -> socket.socket:
        phone = self._fleet.socket(host, socket.AF_INET, socket.SOCK_DGRAM)
        phone.bind(({"customer": CUSTOMER, "vendor": VENDOR}[host], 0))
        phone.setblocking(False)
        self._poll.register(phone.fileno(), select.EPOLLIN)
        return phone

    def _take(self) -> None:
        while not self._ready.empty():
            do, call = self._ready.get()
            if do is Signalling.set_up and call.targets:
                heapq.heappush(
                    self._heap, (time.monotonic() + self._random.random() * GAP, call.number, call)
                )
            else:
                self._end(call)

    def _speak(self, now: float) -> bool:
        if not self._heap or self._heap[0][0] > now:
            return False
        at, _, call = heapq.heappop(self._heap)
        if call.sent == call.packets:
            self._signalling.asked.put((Signalling.hang_up, call))
            return True
        for side in (0, 1):
            call.phones[side].sendto(call.packet(side, call.sent), call.targets[side])
        call.sent += 1
        next_ = LINGER if call.sent == call.packets else GAP
        heapq.heappush(self._heap, (at + next_, call.number, call))
        return True

    def _hear(self, number: int) -> None:
        call, side = self._listening[number]
        while True:
            try:
                packet = call.phones[side].recv(2048)
            except BlockingIOError:
                return
            at = struct.unpack_from("!H", packet, 2)[0] if len(packet) > 12 else 0
            if packet[12:] != call.packet(1 - side, at)[12:]:
                self.done["garbled"] += 1
                self.spoilt.append(f"call {call.number} over {call.trunk}, to {side}, packet {at}")
            elif at in call.heard[side]:
                self.done["twice"] += 1
            call.heard[side].add(at)

    def _end(self, call: Call) -> None:
        for side in (0, 1):
            self._hear(call.phones[side].fileno())
            missing = call.sent - len(call.heard[side])
            self.done["lost"] += missing
            if missing:
                self.spoilt.append(
                    f"call {call.number} over {call.trunk}, to {side}: {missing} of {call.sent} lost"
                )
        self.done["packets"] += 2 * call.sent
        self.done["calls"] += 1
        self._spare.append(call.phones)
        self.up -= 1


def main() -> None:
    fleet = Fleet.attach(Path(sys.argv[1]))
    crowd = Crowd(fleet, int(sys.argv[2]))
    print(json.dumps(crowd.run()))


if __name__ == "__main__":
    main()
