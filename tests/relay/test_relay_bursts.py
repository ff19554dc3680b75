"""Many calls under way at once: refusals in the middle, and either process killed while they are being set up."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time

import pytest
from relay_calls import Node, until

from vosctl.errors import RelayError
from vosctl.relay.control import bencode

CALLS = 60


class Proxy:
    """A proxy that sends all its requests at once, and says again, under a new cookie, what failed or was lost."""

    def __init__(self, node: Node) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((node.address, 2223))
        self._socket.settimeout(0.3)
        self._cookies = 0

    def send(self, requests: dict[str, dict]) -> None:
        for name, request in requests.items():
            self._cookies += 1
            with contextlib.suppress(ConnectionRefusedError):  # nobody there just now: it is said again
                self._socket.send(f"{name}/{self._cookies} ".encode() + bencode.encode(request))

    def receive(self) -> tuple[str, int, dict]:
        cookie, _, body = self._socket.recv(65535).partition(b" ")
        name, _, number = cookie.decode().partition("/")
        return name, int(number), bencode.decode(body)

    def ask(
        self, requests: dict[str, dict], after: int = 0, then=lambda: None, *, again: bool = True
    ) -> dict:
        """Return the reply to each request; ``then`` is done after so many of them."""
        replies: dict[str, dict] = {}
        before = self._cookies
        self.send(requests)
        deadline = time.monotonic() + 30
        while requests.keys() != replies.keys():
            assert time.monotonic() < deadline, sorted(requests.keys() - replies.keys())
            try:
                name, number, reply = self.receive()
            except (TimeoutError, ConnectionRefusedError):
                self.send({name: requests[name] for name in requests if name not in replies})
                continue
            if number <= before:
                continue  # to what was said twice, an earlier time
            if again and reply["result"] != "ok":
                time.sleep(0.02)
                self.send({name: requests[name]})
                continue
            replies.setdefault(name, reply)
            if len(replies) == after:
                then()
        return replies

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def node(nodes):
    node = nodes("edge")
    node.config["ports"] = [20000, 20000 + 4 * CALLS - 1]
    node.start()
    return node


@pytest.fixture
def proxy(node):
    proxy = Proxy(node)
    yield proxy
    proxy.close()


def sdp(port: int) -> str:
    lines = (
        "v=0",
        "o=- 1 1 IN IP4 192.0.2.1",
        "s=-",
        "c=IN IP4 192.0.2.1",
        "t=0 0",
        f"m=audio {port} RTP/AVP 8",
    )
    return "\r\n".join([*lines, ""])


def offers(calls: int = CALLS) -> dict[str, dict]:
    return {
        f"c{n}": {"command": "offer", "call-id": f"c{n}", "from-tag": "f", "sdp": sdp(4000 + 2 * n)}
        for n in range(calls)
    }


def answers() -> dict[str, dict]:
    return {
        name: {**offer, "command": "answer", "to-tag": "t", "sdp": sdp(8000)}
        for name, offer in offers().items()
    }


def deletes() -> dict[str, dict]:
    return {name: {"command": "delete", "call-id": name, "from-tag": "f"} for name in offers()}


def port(reply: dict) -> str:
    return reply["sdp"].partition("m=audio ")[2].split()[0]


def kill(node: Node) -> None:
    os.kill(node.ask("status")["pid"], signal.SIGKILL)


def listed(node: Node) -> list[dict]:
    try:
        return node.ask("calls")["calls"]
    except RelayError:  # between two lives
        return []


def nothing_is_left(node: Node, proxy: Proxy) -> None:
    proxy.ask(deletes(), again=False)
    assert node.ask("status")["calls"] == 0
    assert node.pairs() == 0


def test_what_media_refuses_in_the_middle_harms_no_other_call(node, proxy):
    replies = proxy.ask(offers(CALLS + 20), again=False)
    good = [reply for reply in replies.values() if reply["result"] == "ok"]
    bad = [reply for reply in replies.values() if reply["result"] != "ok"]
    assert len({port(reply) for reply in good}) == CALLS
    assert [reply["error-reason"] for reply in bad] == ["Ran out of ports"] * 20
    assert node.pairs() == 2 * CALLS
    # Bad requests among good ones of the same turn.
    mixed = answers()
    for number in range(0, CALLS, 3):
        mixed[f"c{number}"] = {**mixed[f"c{number}"], "sdp": "v=0\r\nm=audio\r\n"}
    told = proxy.ask(
        {name: mixed[name] for name, reply in replies.items() if reply["result"] == "ok" and name in mixed},
        again=False,
    )
    refused = {name for name, reply in told.items() if reply["result"] != "ok"}
    assert refused == {f"c{n}" for n in range(0, CALLS, 3)} & told.keys()
    proxy.ask(
        {name: {"command": "delete", "call-id": name, "from-tag": "f"} for name in replies}, again=False
    )
    nothing_is_left(node, proxy)


def test_control_killed_while_calls_are_set_up_loses_none(node, proxy):
    first = proxy.ask(offers(), 1, lambda: kill(node))
    assert len({port(reply) for reply in first.values()}) == CALLS
    again = proxy.ask(offers())
    assert {name: port(reply) for name, reply in again.items()} == {
        name: port(reply) for name, reply in first.items()
    }
    assert node.pairs() == 2 * CALLS
    proxy.ask(answers(), 1, lambda: kill(node))
    until(lambda: listed(node))
    calls = node.ask("calls")["calls"]
    assert len(calls) == CALLS
    assert all(call["answered"] for call in calls)
    nothing_is_left(node, proxy)


def test_media_killed_while_calls_are_set_up_leaves_no_port_behind(node, proxy):
    media = node.ask("status")["media"]["pid"]
    proxy.ask(offers(), 1, lambda: os.kill(media, signal.SIGKILL))
    until(lambda: node.ask("status")["media"]["pid"] not in {None, media})
    # The ports of those that were answered before are gone with their process: the next offer gets new ones.
    replies = proxy.ask(offers())
    assert len({port(reply) for reply in replies.values()}) == CALLS
    proxy.ask(answers())
    assert node.pairs() == 2 * CALLS
    assert len(node.ask("calls")["calls"]) == CALLS
    nothing_is_left(node, proxy)
