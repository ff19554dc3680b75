"""Two keys at once: staged, activated and retired at run time, while calls go on."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import threading
import time

import pytest
from relay_calls import attribute, target, until

NEW = "ponmlkjihgfedcba"
CALLS = 200
ROUNDS = 20


def both(call, command: str, **fields) -> list[dict]:
    return [node.ask(command, trunk="ab", **fields) for node in (call.a, call.b)]


OK = [{"ok": True}] * 2


def test_a_call_goes_through_a_whole_rotation(joined):
    call = joined("aes128").place()

    def rotate() -> None:
        assert both(call, "stage", kid="k2", value=NEW) == OK
        assert both(call, "activate", kid="k2") == OK

    call.talk(300, pace=0.002, during=rotate)
    refused = both(call, "retire", kid="k1")
    assert [reply["calls"] for reply in refused] == [1, 1]
    assert refused[0]["error"] == "key `k1` is held by 1 calls of trunk `ab`"
    assert call.a.ask("keys")["trunks"]["ab"] == {
        "mode": "aes128", "key": "k2", "accept": ["k2", "k1"], "calls": {"k1": 1},
    }  # fmt: skip
    call.place()
    call.talk(20)
    call.delete()
    call.call_id = "call-2"
    call.place()
    assert attribute(call.trunk_offer, "vos-crypto").startswith("aes128 kid=k2 ")
    call.talk(20)
    assert both(call, "retire", kid="k1") == OK
    assert call.b.ask("status")["keys"] == ["k2"]
    call.talk(20)
    assert NEW not in call.a.log() + call.b.log()


class Crowd:
    """200 calls through both relays, each with two sockets that send numbered packets and check what they get."""

    def __init__(self, call) -> None:
        self.call = call
        self.legs: list[tuple[socket.socket, tuple[str, int]]] = []
        self.sent: dict[int, set[bytes]] = {}
        self.garbled = 0
        hosts = call.caller.address, call.callee.address
        for number in range(CALLS):
            ports = 40000 + 4 * number
            ends = [_bound(hosts[side], ports + 2 * side) for side in (0, 1)]
            name = f"crowd-{number}"
            trunk = call.at_a.offer(name, "f", _sdp(ends[0]), **call.a_names)
            there = call.at_b.offer(name, "f", trunk, **call.b_names)
            back = call.at_b.answer(name, "f", "t", _sdp(ends[1]))
            here = call.at_a.answer(name, "f", "t", back)
            self.legs += [(ends[0], target(here)), (ends[1], target(there))]
        self.got = [0] * len(self.legs)

    def speak(self) -> None:
        for sequence in range(ROUNDS):
            began = time.monotonic()
            for at, (line, where) in enumerate(self.legs):
                line.sendto(_packet(at, sequence), where)
                if at % 40 == 0:
                    time.sleep(0.001)
            time.sleep(max(0.0, 0.1 - (time.monotonic() - began)))

    def listen(self) -> None:
        for at, (line, _) in enumerate(self.legs):
            expected = {_packet(at ^ 1, sequence) for sequence in range(ROUNDS)}
            line.settimeout(3)
            while expected:
                try:
                    packet = line.recv(2048)
                except TimeoutError:
                    break
                self.garbled += packet not in expected
                expected.discard(packet)
            self.got[at] = ROUNDS - len(expected)

    def close(self) -> None:
        for line, _ in self.legs:
            line.close()


def _bound(host: str, port: int) -> socket.socket:
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.bind((host, port))
    return line


def _sdp(line: socket.socket) -> str:
    host, port = line.getsockname()
    return f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 8\r\n"


def _packet(at: int, sequence: int) -> bytes:
    return (
        struct.pack("!BBHII", 0x80, 8, sequence, 160 * sequence, at + 1) + b"%06d%06d" % (at, sequence) * 13
    )


@pytest.mark.slow
def test_a_rotation_under_200_calls_loses_and_garbles_none(joined):
    call = joined("aes128")
    for node in (call.a, call.b):
        node.config["ports"] = [20000, 29999]
        node.write()
        assert node.ask("reload") == {"ok": True}
    crowd = Crowd(call)
    speaking = threading.Thread(target=crowd.speak)
    speaking.start()
    time.sleep(0.3)
    assert both(call, "stage", kid="k2", value=NEW) == OK
    time.sleep(0.3)
    assert both(call, "activate", kid="k2") == OK
    call.place()
    assert attribute(call.trunk_offer, "vos-crypto").startswith("aes128 kid=k2 ")
    assert [reply["calls"] for reply in both(call, "retire", kid="k1")] == [CALLS, CALLS]
    call.talk(50)
    speaking.join()
    crowd.listen()
    assert (crowd.garbled, crowd.got) == (0, [ROUNDS] * 2 * CALLS)
    counted = [leg for found in call.a.ask("calls")["calls"] for leg in found["legs"]]
    assert sum(leg["packets"] for leg in counted) == 2 * CALLS * ROUNDS + 100
    assert {leg["kid"] for leg in counted} == {"", "k1", "k2"}
    assert "suspected" not in call.a.log() + call.b.log()
    for number in range(CALLS):
        call.at_a.delete(f"crowd-{number}", "f")
        call.at_b.delete(f"crowd-{number}", "f")
    assert both(call, "retire", kid="k1") == OK
    crowd.close()


def _pid(node) -> int:
    try:
        return node.ask("status")["pid"]
    except Exception:  # the process is between two lives
        return 0


def test_a_staged_key_survives_the_control_process_and_a_reload(joined):
    call = joined("aes128")
    assert both(call, "stage", kid="k2", value=NEW) == OK
    assert both(call, "activate", kid="k2") == OK
    kept = call.b.paths.run / "rotation.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    pid = call.b.ask("status")["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: _pid(call.b) not in {0, pid})
    assert call.b.ask("reload") == {"ok": True}
    call.place()
    assert attribute(call.trunk_offer, "vos-crypto").startswith("aes128 kid=k2 ")
    call.talk(20)
    # The site follows: what the files say is kept nowhere else.
    call.b.keys["k2"] = NEW
    call.b.config["trunks"]["ab"].update(key="k2", accept=["k2", "k1"])
    call.b.write()
    assert call.b.ask("reload") == {"ok": True}
    assert not kept.exists()
    call.talk(20)


def test_a_file_that_names_a_third_key_wins(joined):
    call = joined("aes128")
    node = call.a
    node.ask("stage", trunk="ab", kid="k2", value=NEW)
    node.ask("activate", trunk="ab", kid="k2")
    node.keys["k3"] = "3333333333333333"
    node.config["trunks"]["ab"].update(key="k3", accept=["k3", "k1"])
    node.write()
    assert node.ask("reload") == {"ok": True}
    assert node.ask("keys")["trunks"]["ab"]["key"] == "k3"
    assert node.ask("keys")["trunks"]["ab"]["accept"] == ["k3", "k1", "k2"]


def test_the_way_back(joined):
    node = joined("aes128").a
    assert node.ask("stage", trunk="ab", kid="k2", value=NEW) == {"ok": True}
    assert node.ask("activate", trunk="ab", kid="k2") == {"ok": True}
    assert node.ask("activate", trunk="ab", kid="k1") == {"ok": True}
    assert node.ask("retire", trunk="ab", kid="k2") == {"ok": True}
    assert node.ask("keys")["trunks"]["ab"]["accept"] == ["k1"]
    assert node.ask("status")["keys"] == ["k1"]
    assert not (node.paths.run / "rotation.json").exists()


@pytest.mark.parametrize(
    ("command", "fields", "told"),
    [
        ("stage", {"trunk": "moon", "kid": "k2", "value": NEW}, "no trunk `moon`"),
        ("stage", {"trunk": "acme", "kid": "k2", "value": NEW}, "no trunk `acme`"),
        ("stage", {"kid": "k2", "value": NEW}, "no trunk ``"),
        ("stage", {"trunk": "ab", "kid": "a b", "value": NEW}, "kid: a key id is 1 to 32"),
        ("stage", {"trunk": "ab", "kid": "k2", "value": "short"}, "value: aes128 takes 16 ASCII"),
        ("stage", {"trunk": "ab", "kid": "k2", "value": 5}, "value: aes128 takes 16 ASCII"),
        ("stage", {"trunk": "ab", "kid": "k1", "value": NEW}, "kid: `k1` is the id of another key"),
        ("activate", {"trunk": "ab", "kid": "k9"}, "trunk `ab` does not accept key `k9` (k1)"),
        ("retire", {"trunk": "ab", "kid": "k9"}, "trunk `ab` does not accept key `k9` (k1)"),
        ("retire", {"trunk": "ab", "kid": "k1"}, "key `k1` is what new calls of trunk `ab` use"),
    ],
)
def test_what_is_refused(joined, command, fields, told):
    node = joined("aes128").a
    reply = node.ask(command, **fields)
    assert (reply["ok"], told in reply["error"]) == (False, True), reply
    assert node.ask("keys")["trunks"]["ab"] == {"mode": "aes128", "key": "k1", "accept": ["k1"], "calls": {}}


def test_the_operator_on_the_node_rotates_by_command(joined):
    call = joined("aes128").place()
    nodes = call.a, call.b
    for node in nodes:
        done = node.run("keys", "stage", "ab", "k2", given=NEW + "\n")
        assert (done.returncode, done.stdout) == (0, "key k2 staged on trunk ab\n"), done.stderr
    for node in nodes:
        assert node.run("keys", "activate", "ab", "k2").stdout == "key k2 activated on trunk ab\n"
    held = nodes[0].run("keys", "retire", "ab", "k1")
    assert (held.returncode, held.stdout) == (1, "")
    assert "key `k1` is held by 1 calls of trunk `ab`" in held.stderr
    call.talk(20)
    call.delete()
    for node in nodes:
        assert node.run("keys", "retire", "ab", "k1").returncode == 0
    shown = nodes[0].run("keys")
    assert json.loads(shown.stdout)["ab"] == {"mode": "aes128", "key": "k2", "accept": ["k2"], "calls": {}}
    assert "name a trunk and a key id" in nodes[0].run("keys", "activate", "ab").stderr
    assert NEW not in shown.stdout + "".join(node.log() for node in nodes)


def test_a_damaged_record_is_forgotten_and_not_quoted(joined):
    node = joined("aes128").a
    (node.paths.run / "rotation.json").write_text(json.dumps({"ab": {"staged": NEW}}))
    pid = node.ask("status")["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: _pid(node) not in {0, pid})
    assert node.ask("keys")["trunks"]["ab"]["accept"] == ["k1"]
    assert NEW not in node.log()
    assert "keys staged at run time are forgotten" in node.log()
