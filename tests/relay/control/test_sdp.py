"""SDP parsing and rewriting as properties: anything parses or is refused by line, and nothing of the sender leaks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vosctl.relay.control import crypto_attr, sdp
from vosctl.relay.control.rewrite import Outgoing, write

LINES = st.one_of(
    st.sampled_from(
        [
            "v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "t=0 0", "c=IN IP4 192.0.2.1", "c=IN IP6 2001:db8::1",
            "c=IN IP4 0.0.0.0", "m=audio 4000 RTP/AVP 0 8 101", "m=video 0 RTP/AVP 31", "m=image 4002 udptl t38",
            "a=sendonly", "a=recvonly", "a=rtcp:4001", "a=rtcp:4001 IN IP4 192.0.2.7", "a=rtcp-mux",
            "a=rtpmap:101 telephone-event/8000", "a=rtpmap:101", "a=candidate:1 1 UDP 1 192.0.2.9 4000 typ host",
            "a=ice-ufrag:x", "a=group:BUNDLE 0", "a=vos-crypto:xor kid=a salt=00000000", "b=AS:64", "a=", "a",
        ]
    ),
    st.text(max_size=40),
)  # fmt: skip


@given(st.lists(LINES, max_size=30).map("\r\n".join))
def test_anything_parses_or_is_refused_by_line(text):
    try:
        sdp.parse("v=0\r\n" + text)
    except sdp.SdpError as error:
        assert str(error).startswith(("line ", "more than ", "longer than "))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("c=IN IP4 198.51.10a", "line 4: no address in c=IN IP4 198.51.10a"),
        ("c=IN IP4 224.2.1.1", "line 4: multicast"),
        ("c=IN IP6 192.0.2.1", "line 4: c= must be IN IP4 for 192.0.2.1"),
        ("c=", "line 4: no address in c="),
    ],
)
def test_a_second_connection_line_is_read_too(line, reason):
    with pytest.raises(sdp.SdpError, match=f"^{reason}"):
        sdp.parse(f"v=0\r\ns=-\r\nc=IN IP4 192.0.2.1\r\n{line}\r\nt=0 0\r\n")
    description = sdp.parse("v=0\r\nc=IN IP4 192.0.2.1\r\nc=IN IP4 192.0.2.2\r\nm=audio 4000 RTP/AVP 8\r\n")
    assert description.media[0].address == "192.0.2.1"


@given(st.lists(LINES, max_size=30).map("\r\n".join))
def test_what_is_written_parses_again_and_leads_to_the_relay(text):
    try:
        description = sdp.parse("v=0\r\n" + text)
    except sdp.SdpError:
        return
    streams = [
        Outgoing(0 if media.rejected else 20000 + 2 * at, 20001 + 2 * at, False, media.direction, "")
        for at, media in enumerate(description.media)
    ]
    again = sdp.parse(write(description, "203.0.113.1", streams))
    for before, after, stream in zip(description.media, again.media, streams, strict=True):
        assert (after.kind, after.formats, after.port) == (before.kind, before.formats, stream.port)
        if not before.rejected:
            assert after.address == ("203.0.113.1" if not before.held else before.address)
            assert after.direction == before.direction
            assert after.rtcp == ((stream.rtcp_port, None) if before.is_rtp else None)
            assert after.crypto is None
            assert after.codecs == before.codecs
    names = {line.attribute for media in again.media for line in media.lines}
    assert not names & {"candidate", "ice-ufrag", "vos-crypto", "rtcp-mux"}


@pytest.mark.parametrize("more", [0, sdp.MAX_KNOWN_LINES], ids=["remembered", "too long for that"])
def test_a_description_that_is_remembered_is_read_and_written_as_the_first_time(more):
    body = ["c=IN IP4 192.0.2.9", "a=sendonly", "a=rtcp:4005", "a=crypto:1 x", *["a=x-more:1"] * more]

    def text(port: int, host: str) -> str:
        lines = ["v=0", f"o=- 1 1 IN IP4 {host}", f"c=IN IP4 {host}", f"m=audio {port} RTP/AVP 8", *body]
        return "\r\n".join([*lines, ""])

    def written(port: int, relay: str, keys: tuple[str, ...] | None) -> list[str]:
        way = Outgoing(port, port + 1, mux=False, direction="sendonly", protocol="RTP/AVP", sdes=keys)
        return write(sdp.parse(text(port, "192.0.2.1")), relay, [way]).split("\r\n")

    media = [
        sdp.parse(text(port, host)).media[0] for port, host in ((4000, "192.0.2.1"), (4002, "192.0.2.2"))
    ]
    assert [(one.port, one.address, one.direction) for one in media] == [
        (4000, "192.0.2.9", "sendonly"),
        (4002, "192.0.2.9", "sendonly"),
    ]
    assert "c=IN IP4 203.0.113.1" in written(20000, "203.0.113.1", None)
    # Another address of the relay's, SRTP that ends here, and a rejected stream: each as its own, not as before.
    other = written(20002, "203.0.113.2", ("2 y",))
    assert "c=IN IP4 203.0.113.1" not in other
    assert [line for line in other if line.startswith("a=crypto")] == ["a=crypto:2 y"]
    assert "a=crypto:1 x" in written(20000, "203.0.113.1", None)
    assert not [line for line in written(0, "203.0.113.1", None) if line.startswith("a=")]
    with pytest.raises(sdp.SdpError, match=r"^line 8: a=rtcp port"):
        sdp.parse(
            text(4000, "192.0.2.1").replace("a=sendonly\r\na=rtcp:4005", "a=sendonly\r\na=x\r\na=rtcp:z")
        )


@pytest.mark.parametrize(
    ("offer", "answer", "expected"),
    [
        ({8: "pcma/8000", 0: "pcmu/8000"}, {8: "pcma/8000"}, ((8,), (8,))),
        (
            {0: "pcmu/8000", 101: "telephone-event/8000"},
            {0: "pcmu/8000", 96: "telephone-event/8000"},
            ((0, 96), (0, 101)),
        ),
        ({18: "g729/8000"}, {8: "pcma/8000"}, ((8,), (18,))),
        ({0: "pcmu/8000", 13: "cn/8000"}, {0: "pcmu/8000"}, ((0,), (0,))),
    ],
)
def test_payload_types_are_matched_by_codec(offer, answer, expected):
    assert sdp.negotiated(offer, answer) == expected


TRANSFORMS = st.builds(
    crypto_attr.Transform,
    st.sampled_from(crypto_attr.MODES[1:]),
    st.from_regex(r"[A-Za-z0-9._-]{1,32}", fullmatch=True),
    st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
    st.just(""),
)


@given(TRANSFORMS)
def test_the_crypto_attribute_reads_back(transform):
    assert crypto_attr.parse(transform.attribute()) == transform


@given(st.text(max_size=60))
def test_any_crypto_attribute_is_read_or_refused(text):
    try:
        crypto_attr.parse(text)
    except crypto_attr.CryptoError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot read"),
        ("rot13 kid=a", "unknown mode `rot13`"),
        ("srtp kid=a", "unknown mode `srtp`"),
        ("xor", "no kid"),
        ("xor kid=", "no kid"),
        ("xor kid=" + "k" * 33, "no kid"),
        ("xor kid=a salt=123", "not 8 hex digits"),
        ("xor kid=a salt=0000000g", "not 8 hex digits"),
    ],
)
def test_bad_crypto_attributes(text, reason):
    with pytest.raises(crypto_attr.CryptoError, match=reason):
        crypto_attr.parse(text)


def test_salts_differ():
    assert crypto_attr.fresh("xor", "k") != crypto_attr.fresh("xor", "k")
    assert crypto_attr.fresh("none", "") == crypto_attr.PLAIN
