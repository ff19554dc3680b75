"""A relay that has no room, as the caller and the proxy see it: 503, or the next relay of the set."""

from __future__ import annotations

import time

import pytest
from lab import CALLEE, CALLEE_SOUNDS, CALLER, CALLER_SOUND
from scenario import AUDIO, Callee, Caller

from vosctl.relay import admin

pytestmark = [pytest.mark.netns, pytest.mark.requires("kamailio", "sipp", "tcpdump")]


@pytest.fixture
def limited(lab):
    """The relay takes one call at a time."""
    lab.configure(limits={"concurrent": 1})
    yield lab
    lab.configure(limits={})


@pytest.fixture(params=["limit", "ports", "drain"])
def full(request, lab):
    """The relay has room for one call, by its limits or ports, or for none, being drained; what it says of the next."""
    if request.param == "limit":
        lab.configure(limits={"concurrent": 1})
        yield lab, 1, "load limit: this relay has 1 calls, its limit"
    elif request.param == "ports":
        lab.configure(ports=[20000, 20003])
        yield lab, 1, "Ran out of ports"
    else:
        admin.ask(lab.paths.control_socket, "drain", on=True)
        yield lab, 0, "load limit: this relay is being drained"
        admin.ask(lab.paths.control_socket, "drain", on=False)
    lab.configure(limits={}, ports=[20000, 29999])


def caller(milliseconds):
    steps = Caller("caller").send("INVITE", AUDIO).answered(180).send("ACK").play("caller.pcma")
    return steps.wait(milliseconds).bye()


def callee():
    steps = Callee("callee").expect("INVITE").reply("180 Ringing").reply("200 OK", AUDIO)
    return steps.settle().play("callee.pcma").bye()


def test_a_call_beyond_the_limit_is_answered_with_503(limited):
    refused = Caller("refused").send("INVITE", AUDIO).expect(100, optional=True).expect(503).send("ACK")

    def second():
        limited.until(lambda: any(call["answered"] for call in limited.ask("calls")["calls"]))
        assert limited.alone(refused)[-1] == "SIP/2.0 503 Service Unavailable"

    played = limited.played(caller(2000), callee(), during=second)
    for host, sound in ((CALLER, CALLEE_SOUNDS[0]), (CALLEE, CALLER_SOUND)):
        (heard,) = played.heard(host)
        assert set(heard.sounds) == {sound}
    assert "load limit: this relay has 1 calls, its limit" in (limited.folder / "relay.log").read_text()
    assert "load limit" in (limited.folder / "kamailio.log").read_text()


def test_the_next_relay_takes_what_the_first_one_has_no_room_for(full):
    limited, room, told = full
    calls, most = 8, [0, 0]
    with limited.second_relay() as other:
        limited.proxy_up(RELAY='"udp:127.0.0.1:2223 udp:127.0.0.1:2224"')

        def watch():
            until = time.monotonic() + 20
            while sum(most) < calls and time.monotonic() < until:
                now = [limited.ask("status", paths)["calls"] for paths in (limited.paths, other)]
                most[:] = map(max, most, now)
                time.sleep(0.02)

        try:
            played = limited.played(caller(3000), callee(), calls=calls, during=watch)
            assert limited.ask("status", other)["calls"] == 0
        finally:
            limited.proxy_up()
    assert most == [room, calls - room]
    assert told in (limited.folder / "relay.log").read_text()
    for host, sound in ((CALLER, CALLEE_SOUNDS[0]), (CALLEE, CALLER_SOUND)):
        heard = played.heard(host)
        assert len(heard) == calls
        assert all(set(flow.sounds) == {sound} for flow in heard)
