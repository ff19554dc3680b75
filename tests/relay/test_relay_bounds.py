"""Every bound of docs/relay-bounds.md: the number that is written there is the code's, and beyond it nothing grows."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import threading
import time
from pathlib import Path

import pytest
from relay_calls import address, g711, target, until

from vosctl.relay import children, logs
from vosctl.relay.control import (
    admission,
    bencode,
    calls,
    features,
    metrics,
    request,
    sdp,
    server,
    wav,
    webhook,
)
from vosctl.relay.control.settings import NO_LIMITS
from vosctl.relay.media import build, host, insertion, kernel, recorder
from vosctl.relay.ng import NgClient, NgError

ROOT = Path(__file__).resolve().parents[2]
HELD = 64  # packets in a jitter buffer


def defined(file: str, name: str) -> int:
    """The value of a ``#define`` of the data plane."""
    text = (build.SOURCES / file).read_text()
    found = re.search(rf"^#define {name} (\(?[0-9<< ]+\)?)", text, re.MULTILINE)
    return eval(found[1])  # a number, perhaps shifted, of our own source


def receive_buffer() -> int:
    text = (build.SOURCES / "socket.c").read_text()
    return int(re.search(r"receive_buffer = (\d+);", text)[1])


CODE = {
    "calls of a relay, those that go around it included": admission.MOST_CALLS,
    "branches of a call (forks)": calls.MAX_BRANCHES,
    "tags that a party is still known by": calls.MAX_ALIASES,
    "characters of a call-id or tag": request.MAX_ID,
    "flags of a message": request.MAX_FLAGS,
    "values of a message": bencode.MAX_ITEMS,
    "depth of a message": bencode.MAX_DEPTH,
    "bytes of an SDP": sdp.MAX_BYTES,
    "lines of an SDP, candidates and other attributes included": sdp.MAX_LINES,
    "characters of a line": sdp.MAX_LINE,
    "streams of a call (`m=` lines)": sdp.MAX_MEDIA,
    "formats of a stream": sdp.MAX_FORMATS,
    "bytes of a cookie": server.MAX_COOKIE,
    "commands under way": server.MAX_PENDING,
    "bytes of replies that are kept for repeated cookies": server.MAX_REPLAY_BYTES,
    "digits of `play DTMF`": features.MAX_DIGITS,
    "seconds of tones": features.MAX_TONE_SECONDS,
    "seconds of a WAV": wav.MAX_SECONDS,
    "bytes of a WAV": wav.MAX_BYTES,
    "WAVs that are read at a time": features.MAX_READERS,
    "bytes of all sound that is being played": insertion.MAX_SOUNDS,
    "bytes of a recording": recorder.MAX_FILE,
    "bytes of a packet": defined("internal.h", "VOS_PACKET_MAX"),
    "SSRCs of an SRTP direction": defined("srtp.c", "TRACKS"),
    "sources on probation (`learn: any`)": defined("internal.h", "VOS_CANDIDATES"),
    "sender reports that a round trip is measured by": defined("internal.h", "VOS_REPORTS"),
    "packets in a jitter buffer": defined("playout.h", "VOS_HELD"),
    "bytes of a packet that a jitter buffer holds": defined("playout.h", "VOS_PLAYOUT_PACKET"),
    "bytes of a socket's queue": receive_buffer(),
    "bytes of events on their way": defined("plane.c", "EVENT_PIPE"),
    "directions that the kernel forwards (`kernel_path`)": kernel.PLACES_MOST,
    "bytes of copies on their way to recordings": defined("tap.c", "TAP_BUFFER"),
    "lines of a log in a second": logs.MOST_LINES,
    "bytes of a log": children.MOST_LOG,
    "bytes of events that control has not read": host.BACKLOG_MAX,
    "alerts that wait for the webhook": webhook.MOST_WAITING,
    "connections to `/metrics`": metrics.MOST_CONNECTIONS,
    "bytes of a request to `/metrics`": metrics.MOST_REQUEST,
}


def test_the_page_says_what_the_code_does() -> None:
    text = (ROOT / "docs" / "relay-bounds.md").read_text()
    rows = re.findall(r"^\| (.+?) \| (\d+) \| .+ \|$", text, re.MULTILINE)
    assert {what: int(number) for what, number in rows} == CODE


def branch(call_id: str, *tags: str) -> calls.Branch:
    parties = [calls.Party(tag) for tag in (*tags, "", "")[:2]]
    return calls.Branch(call_id, 0, "", (parties[0], parties[1]), 0.0, 46)


class Site:
    """As much of a configuration as admission reads: no limits."""

    limits = NO_LIMITS
    peers: dict[str, object] = {}  # noqa: RUF012


def test_calls_are_bounded_without_any_limit_of_the_site(monkeypatch) -> None:
    monkeypatch.setattr(admission, "MOST_CALLS", 3)
    table = calls.Calls()
    gate = admission.Admission(table)
    for number in range(3):
        with gate.entering(Site, branch(f"c{number}", "f")):
            table.put(branch(f"c{number}", "f"))
    with pytest.raises(admission.LimitReachedError, match="3 calls, all that it can have"):
        gate.entering(Site, branch("more", "f")).__enter__()
    with gate.entering(Site, branch("c1", "f")):  # a fork is no new call
        pass


def test_calls_that_are_on_their_way_count_too(monkeypatch) -> None:
    monkeypatch.setattr(admission, "MOST_CALLS", 1)
    gate = admission.Admission(calls.Calls())
    with (
        gate.entering(Site, branch("one", "f")),
        pytest.raises(admission.LimitReachedError),
        gate.entering(Site, branch("two", "f")),
    ):
        pass


def test_tags_of_a_party() -> None:
    party = calls.Party("t0")
    for number in range(1, 100):
        party = party.tagged(f"t{number}")
    assert len(party.aliases) == calls.MAX_ALIASES
    assert party.has("t98")
    assert not party.has("t3")


def test_flags_of_a_message() -> None:
    words = [f"flag-{number}" for number in range(1000)]
    assert len(request.read({"command": "ping", "flags": words}).flags) == request.MAX_FLAGS


@pytest.mark.parametrize(
    "message",
    [
        b"l" + b"i1e" * bencode.MAX_ITEMS + b"e",
        b"l" * (bencode.MAX_DEPTH + 1) + b"e" * (bencode.MAX_DEPTH + 1),
        b"d" + b"1:ai1e" * bencode.MAX_ITEMS + b"e",
    ],
)
def test_values_and_depth_of_a_message(message: bytes) -> None:
    with pytest.raises(bencode.BencodeError, match=r"more than 4096 values|deeper than 16"):
        bencode.decode(message)


def description(*lines: str) -> str:
    return "\r\n".join(["v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0", *lines, ""])


CANDIDATE = "a=candidate:1 1 UDP 1 192.0.2.9 4000 typ host"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["m=audio 4000 RTP/AVP 0", *[CANDIDATE] * sdp.MAX_LINES], "more than 1000 lines"),
        (["a=" + "x" * sdp.MAX_LINE], "longer than 2048 characters"),
        (["m=audio 4000 RTP/AVP 0"] * (sdp.MAX_MEDIA + 1), "more than 16 m= lines"),
        (["m=audio 4000 RTP/AVP" + " 0" * (sdp.MAX_FORMATS + 1)], "more than 128 formats"),
        (["a=" + "x" * 1000] * 66, "longer than 65535 bytes"),
    ],
)
def test_what_an_sdp_may_hold(lines: list[str], reason: str) -> None:
    with pytest.raises(sdp.SdpError, match=reason):
        sdp.parse(description(*lines))


def test_sounds_and_digits() -> None:
    with pytest.raises(wav.WavError, match="longer than"):
        wav.convert(bytes(wav.MAX_BYTES + 1), "pcma")
    head = b"RIFF\0\0\0\0WAVEfmt " + bytes.fromhex("1000000007000100401f0000401f00000100080064617461")
    long = bytes(wav.RATE * (wav.MAX_SECONDS + 1))
    with pytest.raises(wav.WavError, match="longer than 300 s"):
        wav.convert(head + len(long).to_bytes(4, "little") + long, "pcma")


@pytest.fixture
def node(nodes):
    node = nodes("edge")
    node.config["metrics"] = {"listen": [node.address, 9110]}
    node.start()
    return node


def test_names_cookies_and_tones_at_a_running_relay(node, phones) -> None:
    with node.client() as ng:
        with pytest.raises(NgError, match="longer than 512"):
            ng.offer("c" * 513, "f", phones().sdp())
        assert ng.exchange(b"d7:command4:pinge", cookie="c" * server.MAX_COOKIE)
        ng.offer("c", "f", phones().sdp(types="8"))
        ng.answer("c", "f", "t", phones().sdp(types="8"))
        with pytest.raises(NgError, match="up to 64 of"):
            ng._ok("play DTMF", call_id="c", from_tag="f", digits="1" * 65)
        with pytest.raises(NgError, match="more than 60 s of tones"):
            ng._ok("play DTMF", call_id="c", from_tag="f", digits="1" * 7, duration=5000, pause=5000)
    with (
        NgClient((node.address, 2223), timeout=0.2, tries=2) as short,
        pytest.raises(NgError, match="no reply"),
    ):
        short.exchange(b"d7:command4:pinge", cookie="c" * (server.MAX_COOKIE + 1))


def test_wavs_are_read_two_at_a_time(monkeypatch) -> None:
    def load(path: str, law: str) -> bytes:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.05)
        with lock:
            under_way -= 1
        return b"\xd5"

    async def read_many() -> None:
        made = features.Features(calls.Calls(), None, None, lambda: "")
        await asyncio.gather(*(made._sound({"file": "/x.wav"}, "pcma") for _ in range(10)))

    under_way, most, lock = 0, 0, threading.Lock()
    monkeypatch.setattr(wav, "load", load)
    asyncio.run(read_many())
    assert (under_way, most) == (0, features.MAX_READERS)


def test_connections_and_requests_to_the_metrics(node) -> None:
    lines = [socket.create_connection((node.address, 9110)) for _ in range(metrics.MOST_CONNECTIONS)]
    time.sleep(0.2)
    with socket.create_connection((node.address, 9110), timeout=5) as more:
        assert more.recv(10) == b""
    lines[0].sendall(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * metrics.MOST_REQUEST + b"\r\n\r\n")
    lines[0].settimeout(5)
    with pytest.raises((ConnectionResetError, AssertionError)):
        assert lines[0].recv(10) != b""
    for line in lines:
        line.close()


def test_commands_under_way() -> None:
    async def never(_message: object) -> dict[str, object]:
        nonlocal begun
        begun += 1
        await asyncio.Event().wait()
        return {}

    async def flood() -> None:
        place = (address(), 2223)
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind(place)
        bound.setblocking(False)
        serving = server.NgServer(bound, never, server.Replies())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
            for number in range(server.MAX_PENDING + 200):
                ours.sendto(b"%d d7:command4:pinge" % number, place)
                if number % 50 == 0:
                    await asyncio.sleep(0.001)
            await asyncio.sleep(0.2)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)
        await serving.close()

    begun = 0
    logging.disable(logging.CRITICAL)
    try:
        asyncio.run(flood())
    finally:
        logging.disable(logging.NOTSET)
    assert begun == server.MAX_PENDING


def test_alerts_that_wait() -> None:
    async def tell() -> webhook.Webhook:
        made = webhook.Webhook()
        made.url = "http://192.0.2.1/"
        for number in range(webhook.MOST_WAITING + 50):
            made.tell({"number": number})
        return made

    made = asyncio.run(tell())
    assert made.failed == 50
    assert made._waiting.qsize() == webhook.MOST_WAITING


def test_events_that_control_does_not_read(monkeypatch) -> None:
    monkeypatch.setattr(host, "BACKLOG_MAX", 100_000)
    ours, theirs = socket.socketpair()
    client = host.Client(ours)
    for _ in range(20_000):
        client.tell({"event": "timeout", "text": "x" * 50})
    assert client.events_dropped > 10_000
    assert len(client._out) < 101_000
    ours.close()
    theirs.close()


def test_lines_of_a_log(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(logs, "MOST_LINES", 100)
    handler = logging.FileHandler(tmp_path / "log")
    handler.addFilter(logs._Flood(handler))
    for second, level in ((10, logging.WARNING), (10, logging.ERROR), (11, logging.WARNING)):
        for number in range(150 if level == logging.WARNING else 1):
            record = logging.makeLogRecord(
                {"msg": f"{second} {number}", "levelno": level, "created": float(second)}
            )
            handler.handle(record)
    handler.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 100 + 1 + 1 + 99
    assert lines[100:102] == ["10 0", "50 lines left out: too many a second"]


def test_a_call_forgets_what_it_was_when_it_ends(node, phones) -> None:
    """A thousand calls begin and end: of each no more is left than its replies, for a minute."""
    caller = phones()

    def round_of(first: int, count: int) -> int:
        with node.client() as ng:
            for number in range(first, first + count):
                ng.offer(f"c{number}", "f", caller.sdp())
                ng.delete(f"c{number}", "f")
        status = Path(f"/proc/{node.ask('status')['pid']}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+)", status)[1])

    before = round_of(0, 300)
    after = round_of(1000, 1000)
    assert (after - before) * 1024 < 1000 * 3000 + (2 << 20), (
        "more than the replies that are kept for a minute"
    )


def test_a_burst_beyond_a_jitter_buffer_is_played_and_not_lost(nodes, phones) -> None:
    node, caller, callee = nodes("edge"), phones(), phones()
    node.gateway("acme", caller.address)
    node.config["gateways"]["acme"]["jitter"] = {"mode": "fixed", "min": 400, "max": 400, "start": 400}
    node.start()
    with node.client() as ng:
        ng.offer("c", "f", caller.sdp(), vos_from="acme")
        to = target(ng.answer("c", "f", "t", callee.sdp()))
    packets = g711(3 * HELD, seed=1)
    for packet in packets:
        caller.rtp.sendto(packet, to)
    until(lambda: node.ask("calls")["calls"][0]["legs"][0]["packets"] == len(packets))
    callee.drain(len(packets), 3.0)
    assert callee.got == packets
