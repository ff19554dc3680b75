"""Branches as values: the record that media keeps for control reads back as what it was."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vosctl.relay.control.calls import MAX_BRANCHES, Branch, Calls, End, Party, Stream, branch_from_record
from vosctl.relay.control.crypto_attr import Transform
from vosctl.relay.control.request import RefusalError, read

TEXT = st.text(max_size=12)
ENDPOINT = st.none() | st.tuples(st.just("192.0.2.1"), st.integers(1, 65535))
TRANSFORM = st.builds(Transform, st.sampled_from(["none", "xor"]), TEXT, st.just("0000abcd"))
ENDS = st.builds(
    End,
    remote=ENDPOINT,
    rtcp=ENDPOINT,
    direction=st.sampled_from(["sendrecv", "sendonly", "recvonly", "inactive"]),
    codecs=st.dictionaries(st.integers(0, 127), TEXT, max_size=3),
    pts=st.lists(st.integers(0, 127), max_size=3).map(tuple),
    mux=st.booleans(),
    rx=TRANSFORM,
    tx=TRANSFORM,
    said=st.none() | TRANSFORM,
    local=st.none() | st.just((20000, 20001)),
)
STREAMS = st.builds(Stream, TEXT, st.tuples(ENDS, ENDS), st.booleans(), st.booleans())
PARTIES = st.builds(Party, TEXT, TEXT, TEXT, TEXT, st.lists(TEXT, max_size=2).map(tuple))
BRANCHES = st.builds(
    Branch,
    call_id=TEXT,
    number=st.integers(0, 63),
    via=TEXT,
    parties=st.tuples(PARTIES, PARTIES),
    created=st.floats(0, 2e9),
    dscp=st.integers(0, 63),
    streams=st.lists(STREAMS, max_size=2).map(tuple),
    answered=st.booleans(),
)


@given(BRANCHES)
def test_the_record_reads_back(branch):
    assert branch_from_record(branch.record()) == branch


def branch(call_id: str, number: int, *tags: str, via: str = "") -> Branch:
    first, second = (Party(tag) for tag in (*tags, "")[:2])
    return Branch(call_id, number, via, (first, second), 0.0, 46)


def request(command: str, **keys: str):
    return read(
        {"command": command, "call-id": "c", **{key.replace("_", "-"): item for key, item in keys.items()}}
    )


def test_branches_are_found_by_tags_and_via():
    calls = Calls()
    one, two = branch("c", 0, "a", via="1"), branch("c", 1, "a", via="2")
    calls.put(one)
    calls.put(two)
    assert calls.offered(request("offer", from_tag="a", via_branch="2")) == (two, 0)
    assert calls.offered(request("offer", from_tag="a", via_branch="3")) is None
    assert calls.offered(request("offer", from_tag="x")) is None
    assert calls.answered(request("answer", from_tag="a", to_tag="b", via_branch="1")) == (one, 1)
    one = one.with_party(1, one.parties[1].tagged("b"))
    calls.put(one)
    assert calls.offered(request("offer", from_tag="b", to_tag="a")) == (one, 1)
    assert calls.answered(request("answer", from_tag="b", to_tag="a")) == (one, 0)
    assert calls.by_media_id("c#0") == one
    calls.drop(one)
    calls.drop(two)
    assert len(calls) == 0
    assert calls.of("c") == ()


def test_branches_of_one_call_are_bounded():
    calls = Calls()
    for number in range(MAX_BRANCHES):
        assert calls.free_number("c") == number
        calls.put(branch("c", number, "a"))
    with pytest.raises(RefusalError, match="Too many branches"):
        calls.free_number("c")


def test_a_record_of_an_earlier_release_with_its_names_reads_back():
    end = {
        "remote": ["192.0.2.1", 4000], "rtcp": ["192.0.2.1", 4001], "learn": "nat", "source": "192.0.2.9",
        "direction": "sendrecv", "protocol": "RTP/AVP", "codecs": [[8, "pcma/8000"]], "pts": [8],
        "wants_mux": False, "mux_reply": "", "mux": False, "rx": ["xor", "k1", "00000001", ""],
        "tx": ["none", "", "00000000", ""], "said": None, "tag": 1, "offers": [], "proposed": [],
        "local": [20000, 20001],
    }  # fmt: skip
    party = {"tag": "f", "name": "acme", "address": "192.0.2.5", "source": "", "aliases": ["old"]}
    stream = {"kind": "audio", "ends": [end, end], "open": True, "rejected": False}
    tree = {
        "call_id": "c", "number": 1, "via": "z", "parties": [party, party], "created": 5.5, "dscp": 46,
        "streams": [stream], "answered": True, "since": 6.5,
    }  # fmt: skip
    read_back = branch_from_record(json.dumps(tree))
    assert read_back.streams[0].ends[1] == End(
        ("192.0.2.1", 4000), ("192.0.2.1", 4001), "nat", "192.0.2.9", codecs={8: "pcma/8000"}, pts=(8,),
        rx=Transform("xor", "k1", "00000001"), local=(20000, 20001),
    )  # fmt: skip
    assert (read_back.parties[0].aliases, read_back.since) == (("old",), 6.5)


def test_a_record_of_a_later_release_reads_back_without_what_is_new():
    written = json.loads(branch("c", 0, "f", "t").record())
    assert branch_from_record(json.dumps([*written, "new"])) == branch("c", 0, "f", "t")
