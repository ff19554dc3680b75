"""Metrics by HTTP and as a textfile, alerts to the log and to a webhook, from a real relay."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator

import pytest
from monitoring import Ear, get, samples
from relay_calls import Call, Node, g711, until


@pytest.fixture
def node(nodes) -> Node:
    node = nodes("edge")
    node.config["metrics"] = {"listen": [node.address, 9110], "textfile": str(node.root / "vosctl.prom")}
    return node


@pytest.fixture
def call(node, phones) -> Iterator[Call]:
    caller, callee = phones(), phones()
    node.gateway("acme", caller.address)
    node.gateway("vendor", callee.address)
    node.config["alerts"] = {"interval": 0.3}
    node.config["gateways"]["acme"]["limits"] = {"concurrent": 1}
    node.start()
    call = Call(node, node, caller, callee)
    names = {"vos_from": "acme", "vos_to": "vendor"}
    call.to_callee = call.at_a.offer("c", "f", caller.sdp(), **names)
    call.to_caller = call.at_a.answer("c", "f", "t", callee.sdp())
    yield call
    call.close()


def test_the_page(node, call):
    call.talk(100)
    # A page may be a second old: the textfile's is given to who asks soon after.
    received = 'vosctl_relay_received_packets_total{peer="acme"}'
    until(lambda: samples(get(node)[1]).get(received) == 100)
    status, text = get(node)
    assert status == 200
    found = samples(text)
    assert found['vosctl_relay_sent_packets_total{peer="vendor"}'] == 100
    assert found['vosctl_relay_received_bytes_total{peer="acme"}'] == 100 * 172
    assert found["vosctl_relay_calls"] == found['vosctl_relay_peer_calls{peer="acme"}'] == 1
    assert found['vosctl_relay_peer_calls_limit{peer="acme"}'] == 1
    assert found['vosctl_relay_calls_begun_total{peer="acme"}'] == 1
    assert found["vosctl_relay_media_up"] == 1
    assert found["vosctl_relay_in_kernel"] == 0
    assert found[f'vosctl_relay_ports{{address="{node.address}",state="used"}}'] == 2
    assert 'peer="vendor"' in str([name for name in found if "jitter_seconds" in name])
    assert "Key" not in text
    # Every name is announced once, with its type; counters end in _total and times are in seconds.
    kinds = dict(re.findall(r"# TYPE (\S+) (\S+)", text))
    assert len(kinds) == text.count("# TYPE") == text.count("# HELP")
    assert {name.partition("{")[0] for name in found} == kinds.keys()
    assert all((kind == "counter") is name.endswith("_total") for name, kind in kinds.items())
    assert not [name for name in kinds if name.endswith(("_ms", "_milliseconds"))]


def test_counters_outlive_calls_and_the_media_process(node, call):
    call.talk(50)
    call.at_a.delete("c", "f")
    with node.client() as ng:
        assert ng.request("offer", call_id="d", from_tag="f", sdp=call.caller.sdp(), vos_from="acme")["sdp"]
        refused = ng.request("offer", call_id="e", from_tag="f", sdp=call.caller.sdp(), vos_from="acme")
        assert refused["error-reason"] == "Parallel session limit reached"
    time.sleep(1.1)
    found = samples(get(node)[1])
    assert found['vosctl_relay_received_packets_total{peer="acme"}'] == 50
    assert found['vosctl_relay_calls_ended_total{reason="deleted"}'] == 1
    assert found['vosctl_relay_calls_refused_total{peer="acme",limit="concurrent"}'] == 1
    pid = node.ask("status")["media"]["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: (node.ask("status")["media"]["pid"] or pid) != pid)
    time.sleep(1.1)
    assert samples(get(node)[1])['vosctl_relay_received_packets_total{peer="acme"}'] == 50


def test_the_textfile_is_the_same_page(node, call):
    call.talk(20)
    path = node.root / "vosctl.prom"
    name = 'vosctl_relay_received_packets_total{peer="acme"}'
    until(lambda: path.exists() and samples(path.read_text()).get(name) == 20)
    assert not list(node.root.glob(".vosctl.prom*"))


def test_what_is_no_request_for_metrics(node):
    node.start()
    assert get(node, "/") == (404, "see /metrics\n")
    assert get(node, method="POST")[0] == 405
    assert get(node, method="HEAD") == (200, "")
    assert get(node, "/metrics?x=1")[0] == 200
    for raw in (b"\r\n\r\n", b"x" * 20_000, b"GET /metrics\r\n\r\n"):
        with socket.create_connection((node.address, 9110), timeout=5) as line:
            line.sendall(raw)
            line.shutdown(socket.SHUT_WR)
            assert b"200 OK" not in line.makefile("rb").read()
    assert get(node)[0] == 200


def test_a_reload_moves_the_metrics_or_keeps_them(node):
    node.start()
    with socket.socket() as taken:
        taken.bind((node.address, 9111))
        taken.listen()
        node.config["metrics"]["listen"][1] = 9111
        node.write()
        assert "metrics on" in node.ask("reload")["error"]
    node.config["metrics"]["listen"][1] = 9110
    assert get(node)[0] == 200
    node.config["metrics"]["listen"][1] = 9112
    node.write()
    assert node.ask("reload") == {"ok": True}
    assert get(node)[0] == 200


def test_an_alert_reaches_the_log_and_the_webhook(node, phones):
    ear = Ear()
    host, port = ear.server.server_address
    node.config["alerts"] = {"interval": 0.5, "jitter": 0}
    caller, callee = phones(), phones()
    node.gateway("acme", caller.address)
    node.write()
    keys = {"version": 1, "keys": {}, "webhook": f"http://{host}:{port}/hook?token=SecretToken"}
    node.paths.keys.write_text(json.dumps(keys))
    assert node.run("supervise").returncode == 0
    with node.client() as ng:
        ng.offer("lossy", "f", caller.sdp(), vos_from="acme")
        back = ng.answer("lossy", "f", "t", callee.sdp())
        for number, packet in enumerate(g711(200, seed=1)):
            if number % 10 or number < 5:
                caller.send(packet, back)
        until(lambda: len(ear.heard) == 2, 30)
    ear.close()
    raised, cleared = ear.heard
    assert (raised["state"], raised["peer"], raised["figure"], raised["call"]) == (
        "raised",
        "acme",
        "loss",
        "lossy",
    )
    assert (raised["node"], raised["unit"], raised["threshold"]) == ("edge", "%", 1.0)
    assert 5 < raised["value"] < 15
    assert (cleared["state"], cleared["figure"]) == ("cleared", "loss")
    assert "at `acme`, threshold 1 %, worst in call lossy" in node.log()
    assert "webhook: HTTPError, try 1 of 3" in node.log()
    assert "SecretToken" not in node.log()
    assert samples(get(node)[1])['vosctl_relay_alerts_total{peer="acme",figure="loss"}'] == 1


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [
        ("metrics", {"listen": "0.0.0.0:9110"}, 'metrics: listen: must be ["address", port]'),
        ("metrics", {"listen": ["moon", 1]}, "metrics: listen: 'moon' does not appear"),
        ("metrics", {"textfile": "x"}, "metrics: textfile: must be an absolute path"),
        ("alerts", {"loss": "1"}, "alerts: loss: must be a number"),
        ("alerts", {"interval": 0}, "alerts: interval: must be a number from 0.1"),
    ],
)
def test_settings_that_are_none(nodes, part, value, told):
    node = nodes("edge")
    node.config[part] = value
    node.write()
    assert told in node.run("supervise").stderr
