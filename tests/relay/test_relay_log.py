"""The log does not grow without bound, and its rotation costs no packet."""

from __future__ import annotations

import os
import signal

from relay_calls import Call, until

from vosctl.relay import supervise
from vosctl.relay.children import MOST_LOG


def test_a_long_log_is_moved_away_under_a_call_that_loses_nothing(nodes, phones):
    node = nodes("edge")
    node.start()
    call = Call(node, node, phones(), phones())
    old = node.paths.log.with_name("relay.log.1")

    def rotate() -> None:
        os.truncate(node.paths.log, MOST_LOG)
        os.kill(supervise.running(node.paths), signal.SIGHUP)
        until(old.exists)

    with node.client() as client:
        call.to_callee = client.offer("c", "f", call.caller.sdp())
        call.to_caller = client.answer("c", "f", "t", call.callee.sdp())
        call.talk(200, pace=0.002, during=rotate)
    assert node.ask("reload") == {"ok": True}
    assert "reloaded: configuration" in node.log()
    assert old.stat().st_size >= MOST_LOG > node.paths.log.stat().st_size
    call.close()


def test_a_short_log_stays(nodes):
    node = nodes("edge")
    node.start()
    os.kill(supervise.running(node.paths), signal.SIGHUP)
    until(lambda: "reloaded" in node.log())
    assert not node.paths.log.with_name("relay.log.1").exists()
