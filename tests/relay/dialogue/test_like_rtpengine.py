"""The same NG dialogues to Debian's rtpengine-daemon and to the relay: what the proxy sees must be the same."""

from __future__ import annotations

import itertools
import re
import subprocess

import pytest
from relay_calls import Node, address

from vosctl.relay.ng import NgClient

pytestmark = [pytest.mark.root, pytest.mark.requires("rtpengine")]

NG = 2223


@pytest.fixture(scope="module")
def rtpengine(tmp_path_factory):
    host, log = address(), tmp_path_factory.mktemp("rtpengine") / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["rtpengine", "--config-file=none", "--foreground", "--log-stderr", "--table=-1", f"--interface={host}",
             "--interface=::1", f"--listen-ng={host}:{NG}", "--port-min=20000", "--port-max=20999", "--log-level=3"],
            stdout=out, stderr=out,
        )  # fmt: skip
    try:
        with NgClient((host, NG), timeout=0.2, tries=50) as client:
            client.ping()
        yield host
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def relay(tmp_path_factory):
    node = Node(tmp_path_factory.mktemp("relay") / "edge", "edge")
    node.config["addresses"].append("::1")
    node.start()
    yield node.address
    node.stop()


def sdp(host, *media, session=()):
    where = f"IN IP{6 if ':' in host else 4} {host}"
    return "\r\n".join(["v=0", f"o=- 1 1 {where}", "s=-", f"c={where}", "t=0 0", *session, *media, ""])


# With a=rtpmap of the static types too: rtpengine adds what is missing of them, the relay adds nothing.
AUDIO = (
    "m=audio {port} RTP/AVP 8 0 101",
    "a=rtpmap:8 PCMA/8000",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:101 telephone-event/8000",
    "a=fmtp:101 0-15",
    "a=ptime:20",
)
FAX = (
    "m=image {port} udptl t38",
    "a=T38FaxVersion:0",
    "a=T38MaxBitRate:14400",
    "a=T38FaxUdpEC:t38UDPRedundancy",
)
FAX2 = ("m=image {port2} udptl t38", "a=T38FaxVersion:0")
VIDEO = ("m=video {port2} RTP/AVP 96", "a=rtpmap:96 H264/90000")
ONE, TWO, SIX = "198.51.100.10", "198.51.100.20", "2001:db8::20"


def party(host, *media, session=()):
    port = 30000 if host == ONE else 40000
    return sdp(
        host, *[line.format(port=port, port2=port + 2, port4=port + 4) for line in media], session=session
    )


def offer(*media, side=ONE, **keys):
    tags = {"from-tag": "one"} if side == ONE else {"from-tag": "two", "to-tag": "one"}
    session = keys.pop("session", ())
    return {"command": "offer", **tags, "sdp": party(side, *media, session=session), "ICE": "remove", **keys}


def answer(*media, side=TWO, **keys):
    tags = {"from-tag": "one", "to-tag": "two"} if side != ONE else {"from-tag": "two", "to-tag": "one"}
    return {"command": "answer", **tags, "sdp": party(side, *media), "ICE": "remove", **keys}


DELETE = {"command": "delete", "from-tag": "one", "to-tag": "two"}
ICE = (
    "a=ice-ufrag:abcd",
    "a=ice-pwd:abcdefghijklmnopqrstuvwx",
    "a=candidate:1 1 UDP 2130706431 198.51.100.10 30000 typ host",
)
DIALOGUES = {
    "plain": [offer(*AUDIO), answer(*AUDIO), DELETE],
    "hold": [
        offer(*AUDIO), answer(*AUDIO), offer(*AUDIO, "a=sendonly"), answer(*AUDIO, "a=recvonly"),
        offer(*AUDIO), answer(*AUDIO), DELETE,
    ],
    "inactive": [offer(*AUDIO, "a=inactive"), answer(*AUDIO, "a=inactive"), DELETE],
    "hold of the other side": [
        offer(*AUDIO), answer(*AUDIO), offer(*AUDIO, "a=sendonly", side=TWO), answer(*AUDIO, "a=recvonly", side=ONE),
        DELETE,
    ],
    "two streams": [offer(*AUDIO, *VIDEO), answer(*AUDIO, *VIDEO), DELETE],
    "a rejected stream": [offer(*AUDIO, *VIDEO), answer(*AUDIO, "m=video 0 RTP/AVP 96"), DELETE],
    "an offer with a rejected stream": [
        offer(*AUDIO, "m=video 0 RTP/AVP 96"), answer(*AUDIO, "m=video 0 RTP/AVP 96"), DELETE,
    ],
    "rtcp-mux": [offer(*AUDIO, "a=rtcp-mux"), answer(*AUDIO, "a=rtcp-mux"), DELETE],
    "rtcp-mux refused": [offer(*AUDIO, "a=rtcp-mux"), answer(*AUDIO), DELETE],
    "rtcp-mux demux": [offer(*AUDIO, "a=rtcp-mux", **{"rtcp-mux": ["demux"]}), answer(*AUDIO), DELETE],
    "ICE": [offer(*AUDIO, *ICE), answer(*AUDIO), DELETE],
    "a port for RTCP": [offer(*AUDIO, "a=rtcp:30009"), answer(*AUDIO, "a=rtcp:40009"), DELETE],
    "early media and its answer": [offer(*AUDIO), answer(*AUDIO), answer(*AUDIO), DELETE],
    "a fork": [
        offer(*AUDIO), answer(*AUDIO), {**answer(*AUDIO), "to-tag": "three"}, {"command": "delete", "from-tag": "one"},
    ],
    **{
        f"rtcp-mux {words}, {how}": [
            offer(*AUDIO, *asked, **{"rtcp-mux": words.split()}), answer(*AUDIO, *taken), DELETE,
        ]
        for words in ("offer", "require", "accept", "reject", "offer accept", "demux accept")
        for how, asked, taken in (
            ("both", ("a=rtcp-mux",), ("a=rtcp-mux",)), ("caller alone", ("a=rtcp-mux",), ()),
            ("callee alone", (), ("a=rtcp-mux",)), ("neither", (), ()),
        )
    },
    "late offer": [offer(*AUDIO, side=TWO), answer(*AUDIO, side=ONE), DELETE],
    "an UPDATE while it rings": [
        offer(*AUDIO), answer(*AUDIO), offer(*AUDIO, "a=inactive", **{"to-tag": "two"}), answer(*AUDIO, "a=inactive"),
        answer(*AUDIO, "a=inactive"), DELETE,
    ],
    "IPv4 calls IPv6": [
        offer(*AUDIO, **{"address-family": "IP6"}), answer(*AUDIO, side=SIX), offer(*AUDIO, "a=sendonly"),
        answer(*AUDIO, "a=recvonly", side=SIX), DELETE,
    ],
    "IPv6 calls IPv4": [
        {**offer(*AUDIO, **{"address-family": "IP4"}), "sdp": party(SIX, *AUDIO)}, answer(*AUDIO), DELETE,
    ],
    "sources": [offer(*AUDIO, flags=["strict source", "trust address"]), answer(*AUDIO, flags=["media handover"]), DELETE],
    "three streams, one rejected": [
        offer(*AUDIO, *VIDEO, "m=audio {port4} RTP/AVP 0", "a=rtpmap:0 PCMU/8000"),
        answer(*AUDIO, "m=video 0 RTP/AVP 96", "m=audio {port4} RTP/AVP 0", "a=rtpmap:0 PCMU/8000"), DELETE,
    ],
    "a fax": [offer(*FAX), answer(*FAX), DELETE],
    "sound becomes a fax and sound again": [
        offer(*AUDIO), answer(*AUDIO), offer(*FAX, **{"to-tag": "two"}), answer(*FAX),
        offer(*AUDIO, **{"to-tag": "two"}), answer(*AUDIO), DELETE,
    ],
    "a fax beside sound": [
        offer(*AUDIO, *FAX2), answer(*AUDIO, *FAX2), offer(*AUDIO, *FAX2, **{"to-tag": "two"}),
        answer(*AUDIO, "m=image 0 udptl t38"), DELETE,
    ],
    "origin": [offer(*AUDIO, replace=["origin"]), answer(*AUDIO, replace=["origin"]), DELETE],
    "direction of the session": [offer(*AUDIO, session=("a=sendonly",)), answer(*AUDIO, "a=recvonly"), DELETE],
    "features": [
        offer(*AUDIO), answer(*AUDIO), {"command": "block media", "from-tag": "one"}, {"command": "unblock media"},
        {"command": "block DTMF"}, {"command": "unblock DTMF"}, {"command": "silence media"},
        {"command": "unsilence media"}, DELETE,
    ],
    "no such call": [
        answer(*AUDIO), {"command": "query"}, DELETE, {**DELETE, "flags": ["fatal"]},
    ],
    "what is wrong with an offer": [
        {"command": "offer", "sdp": party(ONE, *AUDIO)}, {"command": "moonwalk"},
        {"command": "ping"},
    ],
}  # fmt: skip
BRANCHES = [
    offer(*AUDIO, **{"via-branch": "b1"}),
    offer(*AUDIO, **{"via-branch": "b2"}),
    answer(*AUDIO, **{"via-branch": "b1"}),
    {**answer(*AUDIO), "to-tag": "three", "via-branch": "b2"},
    {"command": "delete", "from-tag": "one", "via-branch": "b1"},
    {"command": "delete", "from-tag": "one"},
]
_count = itertools.count(1)


def seen(host: str, dialogue: list[dict]) -> list[dict]:
    """The replies, each with what must differ replaced: the relay's address, and its ports by order of appearance."""
    names: dict[str, str] = {}
    call = f"call-{next(_count)}"
    replies = []
    with NgClient((host, NG)) as client:
        for request in dialogue:
            keys = {key.replace("-", "_"): value for key, value in request.items() if key != "command"}
            reply = client.request(request["command"], call_id=call, **keys)
            replies.append(_normal(reply, host, names))
    return replies


def _normal(reply: dict, host: str, names: dict[str, str]) -> dict:
    told = {key: reply[key] for key in ("result", "error-reason", "warning") if key in reply}
    if "sdp" in reply:
        text = reply["sdp"].replace(host, "RELAY").replace("IP6 ::1\r\n", "IP6 RELAY\r\n")
        for port in re.findall(r"^m=\w+ (\d+) ", text, re.MULTILINE):
            if port != "0":
                names.setdefault(str(int(port) + 1), f"P{len(names) // 2}+1")
                names.setdefault(port, f"P{len(names) // 2}")
        for port, name in names.items():
            text = re.sub(rf"\b{port}\b", name, text)
        sections = re.split(r"\r\n(?=m=)", text.strip())
        told["sdp"] = [sorted(section.split("\r\n")) for section in sections]
    if "totals" in reply:
        told["totals"] = {kind: sorted(reply["totals"][kind]) for kind in ("RTP", "RTCP")}
    return told


@pytest.mark.parametrize("name", DIALOGUES)
def test_the_proxy_sees_the_same(relay, rtpengine, name):
    theirs, ours = seen(rtpengine, DIALOGUES[name]), seen(relay, DIALOGUES[name])
    assert ours == theirs


def test_branches_differ_in_the_callers_port_alone(relay, rtpengine):
    """rtpengine has one for all branches; of two forks that ring at once, the caller hears a mix there, not here."""
    theirs, ours = seen(rtpengine, BRANCHES), seen(relay, BRANCHES)
    assert ours != theirs
    assert [re.sub(r"P\d", "P", str(reply)) for reply in ours] == [
        re.sub(r"P\d", "P", str(r)) for r in theirs
    ]


@pytest.mark.parametrize("name", ["rtcp-mux", "two streams"])
def test_rtp_has_an_even_port_and_rtcp_the_next(relay, name):
    with NgClient((relay, NG)) as client:
        reply = client.offer("even", "one", DIALOGUES[name][0]["sdp"])
        client.delete("even", "one")
    ports = re.findall(r"^m=\w+ (\d+) ", reply, re.MULTILINE)
    assert [int(port) % 2 for port in ports] == [0] * len(ports)
    assert re.findall(r"^a=rtcp:(\d+)", reply, re.MULTILINE) == [str(int(port) + 1) for port in ports]
