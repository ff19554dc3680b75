"""The figures of one call from the packets to the screen: RTCP, loss in bursts, jitter, playout, MOS, and three alerts."""

from __future__ import annotations

import json
import struct
import threading
import time

import pytest
from monitoring import Ear, Syslog, get, samples
from relay_calls import Node, Phone, g711, target, until

from vosctl.cli.main import run

INVENTORY = """
all:
  vars: {{firewall: {{enabled: false}}}}
  hosts:
    edge: {{connection: local, root: "{root}", relay: {{addresses: [{address}]}}}}
"""
# What the callee takes to answer a report and does not own up to: the round trip, in ms.
AWAY = 420
LOST = {*range(20, 24), *range(60, 63), 100}


def sender_report(phone: Phone, count: int, sdp: str) -> int:
    """Send a sender report (RFC 3550 §6.4.1) and return the middle of its NTP time."""
    now = time.time() + 2_208_988_800
    seconds, fraction = int(now), int(now % 1 * 2**32)
    report = struct.pack("!BBHIIIIII", 0x80, 200, 6, 7, seconds, fraction, 160 * count, count, 160 * count)
    host, port = target(sdp)
    phone.rtcp.sendto(report, (host, port + 1))
    return (seconds & 0xFFFF) << 16 | fraction >> 16


def answer_reports(phone: Phone, sdp: str) -> None:
    """Answer every sender report that comes, ``AWAY`` ms later, as if at once; ends when none comes."""
    phone.rtcp.settimeout(2)
    host, port = target(sdp)
    while True:
        try:
            report = phone.rtcp.recv(2048)
        except TimeoutError:
            return
        middle = struct.unpack_from("!I", report, 10)[0]
        time.sleep(AWAY / 1000)
        block = struct.pack("!IBBHIIII", 7, 0, 0, 0, 0, 0, middle, 0)
        phone.rtcp.sendto(struct.pack("!BBHI", 0x81, 201, 7, 9) + block, (host, port + 1))


@pytest.fixture
def ears(tmp_path):
    ear, syslog = Ear(), Syslog(tmp_path)
    ear.refusals = 0
    yield ear, syslog
    ear.close()
    syslog.close()


@pytest.fixture
def node(nodes, ears) -> Node:
    ear, syslog = ears
    node = nodes("edge")
    node.config["metrics"] = {"listen": [node.address, 9110]}
    node.config["alerts"] = {"interval": 1.2, "loss": 1, "jitter": 4, "latency": 200}
    node.write()
    host, port = ear.server.server_address
    node.paths.keys.write_text(json.dumps({"version": 1, "keys": {}, "webhook": f"http://{host}:{port}/"}))
    node.command = syslog.command(node.command)
    return node


def speak(phone: Phone, sdp: str) -> None:
    """200 packets of 20 ms, eight lost, every second one 15 ms late, with a report each half second."""
    begin = time.monotonic()
    for number, packet in enumerate(g711(200, seed=1)):
        late = 0.015 * (number % 2)
        time.sleep(max(0.0, begin + 0.02 * number + late - time.monotonic()))
        if number not in LOST:
            phone.send(packet, sdp)
        if number % 25 == 0:
            sender_report(phone, number, sdp)


def speak_well(phone: Phone, sdp: str) -> None:
    for packet in g711(200, seed=2):
        phone.send(packet, sdp)
        time.sleep(0.02)


@pytest.mark.root
def test_every_figure_reaches_the_monitor_the_metrics_and_the_alerts(
    node, phones, ears, tmp_path, monkeypatch, capsys
):
    ear, syslog = ears
    caller, callee = phones(), phones()
    node.gateway("acme", caller.address)
    node.gateway("vendor", callee.address)
    node.config["gateways"]["acme"]["jitter"] = {"mode": "fixed", "min": 20, "max": 80, "start": 60}
    node.paths.config.write_text(json.dumps(node.config))
    assert node.run("supervise").returncode == 0
    with node.client() as ng:
        to_callee = ng.offer("poor", "f", caller.sdp(), vos_from="acme", vos_to="vendor")
        to_caller = ng.answer("poor", "f", "t", callee.sdp())
        threads = [
            threading.Thread(target=answer_reports, args=(callee, to_callee)),
            threading.Thread(target=speak, args=(caller, to_caller)),
            threading.Thread(target=speak_well, args=(callee, to_callee)),
        ]
        for thread in threads:
            thread.start()
        threads[1].join()
        (tmp_path / "hosts.yml").write_text(INVENTORY.format(root=node.root, address=node.address))
        monkeypatch.chdir(tmp_path)
        capsys.readouterr()
        assert run(["calls", "edge", "-i", "hosts.yml", "--json"]) == 0
        (call,) = json.loads(capsys.readouterr().out)["edge"]["report"]["calls"]
        legs = {leg["name"]: leg for leg in call["legs"]}
        assert run(["calls", "edge", "-i", "hosts.yml", "--poor", "--sort", "rtt"]) == 0
        row = next(line.split() for line in capsys.readouterr().out.splitlines() if " poor " in line)
        found = samples(get(node)[1])
        until(lambda: {told["figure"] for told in ear.heard} == {"loss", "jitter", "latency"})
        told = ng.query("poor")["SSRC"]
        ng.delete("poor", "f")
        threads[0].join()
        threads[2].join()

    acme, vendor = legs["acme"], legs["vendor"]
    assert (acme["expected"], acme["lost"], acme["late"]) == (200, len(LOST), 0)
    assert (acme["loss_runs"], acme["run_lost"], acme["burst_lost"]) == (3, 8, 7)
    assert acme["loss_percent"] == 4.0
    assert (acme["codec"], acme["ptime_ms"]) == ("PCMA", 20.0)
    assert 4 < acme["jitter_ms"] < 20
    assert 55 <= acme["playout_ms"] <= 80
    assert acme["rtt_ms"] is None
    assert AWAY <= vendor["rtt_ms"] < AWAY + 60
    assert acme["mos"] < 4.2 < vendor["mos"] + 0.3
    assert row[:2] == ["edge", "poor"]
    assert (row[6], row[7], row[8]) == ("192", "4.00", f"{acme['jitter_ms']:.1f}")

    assert found['vosctl_relay_lost_packets_total{peer="acme"}'] == 8
    assert found['vosctl_relay_jitter_seconds{peer="acme"}'] == pytest.approx(
        acme["jitter_ms"] / 1000, abs=0.003
    )
    assert found['vosctl_relay_playout_seconds{peer="acme"}'] == pytest.approx(
        acme["playout_ms"] / 1000, abs=0.003
    )
    assert found['vosctl_relay_delay_seconds{peer="vendor"}'] == pytest.approx(
        vendor["rtt_ms"] / 2000, abs=0.03
    )
    assert found['vosctl_relay_mos{peer="acme"}'] == pytest.approx(acme["mos"], abs=0.1)
    figures = told[str(struct.unpack_from("!I", g711(1, seed=1)[0], 8)[0])]
    assert 2 <= figures["average MOS"]["packet loss"] <= 7  # the mean of the looks', not of the packets'
    assert figures["lowest MOS"]["packet loss"] >= figures["highest MOS"]["packet loss"]
    assert figures["average MOS"]["round-trip time"] >= AWAY

    raised = {one["figure"]: one for one in ear.heard if one["state"] == "raised"}
    assert (raised["loss"]["peer"], raised["jitter"]["peer"], raised["latency"]["peer"]) == (
        "acme",
        "acme",
        "vendor",
    )
    assert AWAY / 2 <= raised["latency"]["value"] < AWAY / 2 + 40
    for text in (node.log(), syslog.text()):
        for figure, peer in (("loss", "acme"), ("jitter", "acme"), ("latency", "vendor")):
            assert any(
                f"alert: {figure} " in line
                and f"at `{peer}`, threshold" in line
                and "worst in call poor" in line
                for line in text.splitlines()
            ), (figure, text)
