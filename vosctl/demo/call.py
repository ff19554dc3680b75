"""Places a call through two nodes: the SIP proxies' part (NG) and both telephones' part (RTP)."""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from vosctl.demo import capture, sdp
from vosctl.demo.ground import Ground, relay_config, relay_keys
from vosctl.demo.rtp import PACKET_SECONDS, Phone
from vosctl.errors import VosctlError
from vosctl.relay.ng import NgClient
from vosctl.secret import Secret

FROM_TAG, TO_TAG = "caller", "callee"
_SETTLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Route:
    """Who calls whom and over what; the first two pairs are host names, the rest names of the site."""

    caller: str
    callee: str
    first: str
    second: str
    from_gateway: str
    trunk: str
    to_gateway: str


@dataclass(frozen=True, slots=True)
class Direction:
    """One way of a call: what was spoken and heard (A-law), and what the trunk carried of it."""

    spoken: bytes
    heard: bytes
    crypto: sdp.Crypto | None
    proof: capture.Proof

    @property
    def exact(self) -> bool:
        """Whether the audio arrived bit for bit."""
        return self.heard == self.spoken

    @property
    def digest(self) -> str:
        """SHA-256 of what was heard, hex."""
        return hashlib.sha256(self.heard).hexdigest()


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is over: both directions, and what the first relay counted."""

    route: Route
    there: Direction
    back: Direction
    totals: dict[str, Any]


def find_route(
    ground: Ground,
    caller: str,
    callee: str,
    nodes: tuple[str, str],
    *,
    known_as: Mapping[str, str],
    trunk: str = "",
) -> Route:
    """Return how a call goes, by what the nodes' relays were told; raises VosctlError where it cannot.

    ``known_as`` are the hosts' addresses in the site, by which gateways are found. Of several trunks between the nodes the named one is taken, else the first that encrypts.
    """
    first, second = (relay_config(ground, node) for node in nodes)
    between = {name: data for name, data in first["trunks"].items() if data["peer"] == nodes[1]}
    if trunk:
        between = {trunk: between[trunk]} if trunk in between else {}
    if not between:
        raise VosctlError(f"no trunk{f' {trunk}' if trunk else ''} joins {nodes[0]} and {nodes[1]}")
    chosen = min(between, key=lambda name: (between[name]["mode"] == "none", name))
    return Route(
        caller, callee, *nodes,
        _gateway(first, "mapping", known_as[caller], caller), chosen,
        _gateway(second, "routing", known_as[callee], callee),
    )  # fmt: skip


def place(
    ground: Ground,
    route: Route,
    there: Sequence[bytes],
    back: Sequence[bytes],
    *,
    during: Callable[[], None] = lambda: None,
) -> Call:
    """Call, let both sides speak their frames (20 ms each) at once, hang up, and return what became of it.

    ``during`` is called in mid-call. Raises NgError where a relay refuses.
    """
    with ExitStack() as stack:
        phones = tuple(
            stack.enter_context(_phone(ground, name, ssrc))
            for name, ssrc in ((route.caller, 0xCA11), (route.callee, 0xCA12))
        )
        relays = tuple(stack.enter_context(_relay(ground, node)) for node in (route.first, route.second))
        observer = ground.observe(route.first)
        stack.callback(observer.stop)
        signalling = _Signalling(ground, route, relays, observer, f"demo-{time.time_ns():x}")
        remotes = signalling.set_up(phones)
        _converse(phones, remotes, (there, back), during)
        totals = signalling.hang_up()
        packets = observer.stop()
    keys = relay_keys(ground, route.first)
    offered, answered = signalling.offered, signalling.answered
    directions = (
        _judge(there, phones[1].audio(), _between(packets, offered, answered), keys),
        _judge(back, phones[0].audio(), _between(packets, answered, offered), keys),
    )
    return Call(route, *directions, totals)


@dataclass(frozen=True, slots=True)
class _Way:
    """One direction of the trunk: how its sender said it is encrypted, and the packets."""

    crypto: sdp.Crypto | None
    packets: list[capture.Packet]


class _Signalling:
    """What the two SIP proxies say to their relays; ``offered`` and ``answered`` is the SDP on the trunk."""

    def __init__(
        self, ground: Ground, route: Route, relays: tuple[NgClient, ...], observer: Any, call_id: str
    ) -> None:
        self._ground = ground
        self._route = route
        self._relays = relays
        self._observer = observer
        self._call_id = call_id
        self.offered = self.answered = ""

    def set_up(self, phones: Sequence[Phone]) -> tuple[tuple[str, int], tuple[str, int]]:
        """Return where the caller and where the callee must send their audio."""
        first, second = self._relays
        addresses, route = self._ground.addresses, self._route
        inward = {"vos_from": route.from_gateway, "vos_to": route.trunk}
        outward = {"vos_from": route.trunk, "vos_to": route.to_gateway}
        offer = sdp.phone(addresses[route.caller], phones[0].port)
        self.offered = first.offer(
            self._call_id, FROM_TAG, offer, received_from=["IP4", addresses[route.caller]], **inward
        )
        offer = self._observer.redirect(self.offered)
        offer = second.offer(
            self._call_id, FROM_TAG, offer, received_from=["IP4", addresses[route.first]], **outward
        )
        answer = sdp.phone(addresses[route.callee], phones[1].port)
        self.answered = second.answer(
            self._call_id, FROM_TAG, TO_TAG, answer, received_from=["IP4", addresses[route.callee]], **outward
        )
        answer = self._observer.redirect(self.answered)
        answer = first.answer(
            self._call_id, FROM_TAG, TO_TAG, answer, received_from=["IP4", addresses[route.second]], **inward
        )
        return sdp.media_address(answer), sdp.media_address(offer)

    def hang_up(self) -> dict[str, Any]:
        """End the call on both relays and return the first one's totals."""
        replies = [relay.delete(self._call_id, FROM_TAG, to_tag=TO_TAG) for relay in self._relays]
        totals: dict[str, Any] = replies[0].get("totals", {})
        return totals


@contextmanager
def _phone(ground: Ground, name: str, ssrc: int) -> Iterator[Phone]:
    media = ground.inside(name, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    media.bind((ground.addresses[name], 0))
    phone = Phone(media, ssrc)
    thread = phone.listen()
    yield phone
    phone.close()
    thread.join()


def _relay(ground: Ground, node: str) -> NgClient:
    address, port = relay_config(ground, node)["ng"]
    return ground.inside(node, lambda: NgClient((address, port)))


def _converse(
    phones: Sequence[Phone],
    remotes: Sequence[tuple[str, int]],
    voices: Sequence[Sequence[bytes]],
    during: Callable[[], None],
) -> None:
    with ThreadPoolExecutor(max_workers=2) as pool:
        speaking = [
            pool.submit(phone.speak, remote, voice)
            for phone, remote, voice in zip(phones, remotes, voices, strict=True)
        ]
        time.sleep(max(map(len, voices)) * PACKET_SECONDS / 2)
        during()
        for future in speaking:
            future.result()
    deadline = time.monotonic() + _SETTLE_SECONDS
    while time.monotonic() < deadline and any(
        len(phone.heard) < len(voice) for phone, voice in zip(phones, reversed(voices), strict=True)
    ):
        time.sleep(0.01)


def _between(packets: Sequence[capture.Packet], sender: str, target: str) -> _Way:
    towards = sdp.media_address(target)
    return _Way(sdp.crypto(sender), [packet for packet in packets if packet.target == towards])


def _judge(frames: Sequence[bytes], heard: bytes, way: _Way, keys: Mapping[str, Secret]) -> Direction:
    key = keys[way.crypto.kid].reveal().encode() if way.crypto else b""
    proof = capture.prove(way.packets, frames, way.crypto, key)
    return Direction(b"".join(frames), heard, way.crypto, proof)


def _gateway(relay: dict[str, Any], kind: str, address: str, host: str) -> str:
    for name, gateway in sorted(relay["gateways"].items()):
        networks = map(ipaddress.ip_network, gateway["networks"])
        if gateway["type"] == kind and any(ipaddress.ip_address(address) in network for network in networks):
            return str(name)
    raise VosctlError(f"no {kind} gateway on {relay['node']} has {host}'s address {address}")
