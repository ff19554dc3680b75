"""Kamailio, with the configuration of docs/relay.md, drives the relay; sipp calls through both."""

from __future__ import annotations

import time

import pytest
from lab import CALLEE, CALLEE_SOUNDS, CALLER, CALLER_SOUND, Lab
from scenario import AUDIO, Callee, Caller

pytestmark = [pytest.mark.netns, pytest.mark.requires("kamailio", "sipp", "tcpdump")]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("lab"))
    try:
        lab.until(lab.paths.control_socket.exists)
        lab.proxy_up()
        yield lab
        assert lab.ask("status")["calls"] == 0
    finally:
        lab.close()


def caller(milliseconds=1000):
    steps = Caller("caller").send("INVITE", AUDIO).answered(180).send("ACK").play("caller.pcma")
    return steps.wait(milliseconds).bye()


def callee():
    steps = Callee("callee").expect("INVITE").reply("180 Ringing").reply("200 OK", AUDIO)
    return steps.settle().play("callee.pcma").bye()


@pytest.mark.slow
def test_two_hundred_calls_at_once_all_with_audio_both_ways(lab):
    most = 0

    def watch():
        nonlocal most
        until = time.monotonic() + 20
        while most < 200 and time.monotonic() < until:
            most = max(most, lab.ask("status")["calls"])
            time.sleep(0.05)

    played = lab.played(caller(8000), callee(), calls=200, during=watch)
    assert most == 200
    for host, sound in ((CALLER, CALLEE_SOUNDS[0]), (CALLEE, CALLER_SOUND)):
        heard = played.heard(host)
        assert len(heard) == 200
        assert all(set(flow.sounds) == {sound} for flow in heard)
        assert min(flow.packets for flow in heard) > 250
    spoken = sum(flow.packets for host in (CALLER, CALLEE) for flow in played.spoken(host))
    heard = sum(flow.packets for host in (CALLER, CALLEE) for flow in played.heard(host))
    assert heard >= spoken * 0.999
