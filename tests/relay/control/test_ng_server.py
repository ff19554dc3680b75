"""The reply cache's limits, and a real relay under requests that make no sense."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from relay_calls import Node

from vosctl.relay.control import bencode, server


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(server.time, "monotonic", clock)
    return clock


def test_a_reply_is_kept_for_a_minute(clock):
    replies = server.Replies()
    replies.put(("192.0.2.1", b"c"), b"reply")
    clock.now += 59
    assert replies.get(("192.0.2.1", b"c")) == b"reply"
    assert replies.get(("192.0.2.2", b"c")) is None
    clock.now += 2
    assert replies.get(("192.0.2.1", b"c")) is None


def test_replies_take_no_more_memory_than_allowed(clock, monkeypatch):
    monkeypatch.setattr(server, "MAX_REPLAY_BYTES", 10 * (server.REPLY_OVERHEAD + 2 + 100))
    replies = server.Replies()
    for number in range(100):
        replies.put(("192.0.2.1", b"%d" % number), b"x" * 100)
    kept = [number for number in range(100) if replies.get(("192.0.2.1", b"%d" % number))]
    assert kept == list(range(90, 100))


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = Node(tmp_path_factory.mktemp("fuzz") / "edge", "edge")
    node.start()
    yield node
    assert "Traceback" not in node.log()
    node.stop()


NAMES = st.sampled_from(
    [
        "command", "call-id", "from-tag", "to-tag", "sdp", "flags", "replace", "received-from", "via-branch",
        "rtcp-mux", "transport-protocol", "address-family", "media-address", "TOS", "supports", "vos-from", "ICE",
    ]
)  # fmt: skip
SDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
WORDS = st.one_of(
    st.sampled_from(
        [
            "offer",
            "answer",
            "delete",
            "query",
            "c",
            "f",
            "t",
            SDP,
            SDP + "a=sendonly\r\n",
            "IP4",
            "IP6",
            "184",
        ]
    ),
    st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)
VALUES = st.recursive(
    st.one_of(WORDS, st.integers(-5, 300)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=2)),
    max_leaves=4,
)
SENSE = st.fixed_dictionaries(
    {
        "command": st.sampled_from(["offer", "answer", "delete", "query"]),
        "call-id": st.sampled_from(["c", "d\n2026 forged log line"]),
        "from-tag": st.sampled_from(["f", "t"]),
        "sdp": st.sampled_from(
            [SDP, SDP.replace("192.0.2.1", "0.0.0.0"), SDP + "m=image 4002 udptl t38\r\n"]
        ),
    },
    optional={"to-tag": st.sampled_from(["f", "t", ""])},
)


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sense=SENSE, noise=st.dictionaries(NAMES, VALUES, max_size=3))
def test_every_request_gets_a_reply_and_none_is_a_bug(node, sense, noise):
    with node.client(timeout=10, tries=1) as client:
        reply = bencode.decode(client.exchange(bencode.encode({**sense, **noise})))
    assert reply["result"] in {"ok", "error", "load limit", "pong"}
    assert "Internal error" not in reply.get("error-reason", "")


def test_a_forged_log_line_stays_in_its_own(node):
    with node.client() as client:
        client.request("answer", call_id="x\n2026 forged", from_tag="f", to_tag="t", sdp=SDP)
    assert not [line for line in node.log().splitlines() if line.startswith("2026 forged")]
