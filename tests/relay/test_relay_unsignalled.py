"""Trunks whose signalling carries no ``a=vos-crypto``: what the time between the two activations costs a new call.

``pytest -s tests/relay/test_relay_unsignalled.py`` prints the figures of docs/rotation.md.
"""

from __future__ import annotations

import threading
import time

import pytest
from relay_calls import Call, g711, until

NEW = "ponmlkjihgfedcba"
PACKETS = 400
PACE = 0.004
SILENCE, CODE = b"\xd5" * 160, b"\x17\x01\x80\x4c" * 5
WINDOW = 100  # packets that a verdict rests on, and a few that arrive until the key is another


def bare(sdp: str) -> str:
    return "\r\n".join(line for line in sdp.split("\r\n") if "vos-crypto" not in line)


def place(call: Call, types: str = "8 0 101") -> None:
    """Set the call up over a proxy that takes the attribute out of everything."""
    caller, callee = call.caller.sdp(types=types), call.callee.sdp(types=types)
    call.trunk_offer = bare(call.at_a.offer(call.call_id, "f", caller, **call.a_names))
    call.to_callee = call.at_b.offer(call.call_id, "f", call.trunk_offer, **call.b_names)
    answer = call.at_b.answer(call.call_id, "f", "t", callee)
    call.to_caller = call.at_a.answer(call.call_id, "f", "t", bare(answer))


def talk(call: Call, payload: bytes, kind: int) -> list[list[bool]]:
    """Both sides talk; return for each of them which of the packets it got were as they had been sent."""
    packets = [packet[:12] + payload for packet in g711(PACKETS, seed=1, payload_type=kind)]
    sides = (call.caller, call.to_caller), (call.callee, call.to_callee)
    threads = [threading.Thread(target=phone.drain, args=(PACKETS, 2.0)) for phone, _ in sides]
    for phone, _ in sides:
        phone.got = []
    for thread in threads:
        thread.start()
    for packet in packets:
        for phone, sdp in sides:
            phone.send(packet, sdp)
        time.sleep(PACE)
    for thread in threads:
        thread.join()
    assert [len(phone.got) for phone, _ in sides] == [PACKETS] * 2
    return [[got == sent for got, sent in zip(phone.got, packets, strict=True)] for phone, _ in sides]


def staged(call: Call) -> Call:
    for node in (call.a, call.b):
        assert node.ask("stage", trunk="ab", kid="k2", value=NEW) == {"ok": True}
    return call


def test_a_call_begun_between_the_activations_is_whole_after_two_seconds(joined):
    call = staged(joined("aes128"))
    assert call.a.ask("activate", trunk="ab", kid="k2") == {"ok": True}
    place(call)
    for heard in talk(call, SILENCE, 8):
        garbled = heard.index(True)
        print(f"\nbegun between the activations: {garbled} packets garbled, {0.02 * garbled:.1f} s of 20 ms")
        assert WINDOW <= garbled <= WINDOW + 40
        assert all(heard[garbled:])
    assert "`ab` signals no key: what it sends is read with `k2` now, not `k1`" in call.b.log()
    # Both keys are held now: what is sent stays in the sender's own.
    assert call.a.ask("retire", trunk="ab", kid="k1")["calls"] == 1
    # The other end follows: a call begun from then on is whole from its first packet.
    assert call.b.ask("activate", trunk="ab", kid="k2") == {"ok": True}
    call.call_id = "call-2"
    place(call)
    assert all(map(all, talk(call, SILENCE, 8)))


def test_what_is_no_g711_stays_garbled_until_the_call_ends(joined):
    call = staged(joined("aes128"))
    assert call.a.ask("activate", trunk="ab", kid="k2") == {"ok": True}
    place(call, "18")
    assert not any(map(any, talk(call, CODE, 18)))


def test_where_no_key_fits_the_first_is_taken_again(joined):
    call = staged(joined("aes128"))
    call.b.keys = {"k1": "fedcba9876543210"}
    call.b.write()
    assert call.b.ask("reload") == {"ok": True}
    place(call)
    assert not any(talk(call, SILENCE, 8)[1])
    assert "read with `k1` now, not `k2`" in until(lambda: call.b.log() if "not `k2`" in call.b.log() else "")
    assert not any(talk(call, SILENCE, 8)[1])
    assert call.b.log().count("signals no key") == 2


@pytest.mark.parametrize("mode", ["xor", "rc4"])
def test_a_change_of_mode_is_found_as_well(joined, mode):
    call = joined(mode)
    for node, current in ((call.a, "k2"), (call.b, "k1")):
        node.keys["k2"] = NEW
        trunk = node.config["trunks"]["ab"]
        modes = {"k2": "aes128"} if current == "k1" else {"k1": mode}
        trunk.update(
            mode="aes128" if current == "k2" else mode, key=current, accept=["k1", "k2"], modes=modes
        )
        node.write()
        assert node.ask("reload") == {"ok": True}
    place(call)
    to_callee = talk(call, SILENCE, 8)[1]
    assert all(to_callee[WINDOW + 40 :])
