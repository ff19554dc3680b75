"""A trunk changes from one encryption to another under calls: both ends take both for a while, each call keeps its own."""

from __future__ import annotations

import copy

import pytest
from relay_calls import attribute

from vosctl.relay.ng import NgError

VALUES = {"xor": "Key1Key1Key1", "rc4": "abcdefghijklmnop", "aes128": "0123456789abcdef"}


def change(node, *, mode: str, key: str | None, **modes: str) -> None:
    """Give the node's trunk these words, with keys k-MODE, and have the relay take them."""
    trunk = node.config["trunks"]["ab"]
    trunk.update(mode=mode, key=key, accept=list(modes), modes={k: m for k, m in modes.items() if m != mode})
    node.keys = {kid: VALUES[each] for kid, each in modes.items()}
    node.write()
    assert node.ask("reload")["ok"]


def placed(call, name: str):
    """Place another call between the same telephones."""
    again = copy.copy(call)
    again.call_id = name
    return again.place()


def modes_of(call) -> set[tuple[str, str]]:
    found = set()
    for node in (call.a, call.b):
        (one,) = (each for each in node.ask("calls")["calls"] if each["call-id"] == call.call_id)
        found |= {(leg["mode"], leg["tx_mode"]) for leg in one["legs"] if leg["name"] == "ab"}
    return found


@pytest.mark.parametrize(
    ("old", "new"), [("xor", "aes128"), ("rc4", "aes128"), ("aes128", "srtp"), ("xor", "srtp")]
)
def test_a_trunk_goes_from_one_mode_to_another_and_back(joined, old, new):
    call = joined(old)
    ends = call.a, call.b
    was = {"k-old": old}
    both = was if new == "srtp" else {**was, "k-new": new}
    current = None if new == "srtp" else "k-new"
    for node in ends:
        change(node, mode=old, key="k-old", **was)
    call.place()

    def rotate() -> None:
        for node in ends:
            change(node, mode=old, key="k-old", **both)
        # One end is ahead of the other: calls go through whichever asks.
        for ahead in ends:
            change(ahead, mode=new, key=current, **both)
            between = placed(call, f"between-{ahead.name}")
            if ahead is call.a:
                assert (new, new) in modes_of(between) or (old, new) in modes_of(between)
            between.delete()

    call.talk(600, pace=0.002, during=rotate)  # which looks at every byte
    assert modes_of(call) == {(old, old)}
    # A re-INVITE does not change what a call began with, from either end.
    call.offer()
    call.answer()
    assert modes_of(call) == {(old, old)}
    call.talk(50)
    later = placed(call, "later")
    assert modes_of(later) == {(new, new)}
    later.talk(50)
    assert call.a.ask("keys")["trunks"]["ab"]["calls"].get("k-old") == 1
    call.delete()
    # The way back, with a call on the new mode that goes on.
    for node in ends:
        change(node, mode=old, key="k-old", **both)
    later.talk(50, seed=3)
    later.offer()
    later.answer()
    assert modes_of(later) == {(new, new)}
    later.talk(50, seed=5)
    assert modes_of(placed(call, "back")) == {(old, old)}


def test_what_is_not_accepted_any_more_is_refused_by_name(joined):
    call = joined("xor")
    change(call.a, mode="xor", key="k-old", **{"k-old": "xor"})
    change(call.b, mode="aes128", key="k-new", **{"k-new": "aes128"})
    with pytest.raises(NgError, match="is aes128 here, the peer signals xor"):
        call.place()
    change(call.b, mode="srtp", key=None)
    with pytest.raises(NgError, match="is srtp here, the peer signals xor"):
        call.place()


def test_a_key_of_another_mode_is_activated_on_the_node(joined):
    call = joined("xor")
    for node in (call.a, call.b):
        change(node, mode="xor", key="k-old", **{"k-old": "xor", "k-new": "aes128"})
        assert node.ask("activate", trunk="ab", kid="k-new")["ok"]
        said = node.ask("keys")["trunks"]["ab"]
        assert (said["mode"], said["modes"]) == ("aes128", {"k-old": "xor"})
    call.place()
    assert (attribute(call.trunk_offer, "vos-crypto") or "").startswith("aes128 kid=k-new")
    call.talk(50)


@pytest.mark.parametrize(
    ("modes", "told"),
    [({"k-old": "srtp"}, "must say one of xor, rc4, aes128"), (["k-old"], "must say one of")],
)
def test_a_mode_without_keys_is_a_mistake(joined, modes, told):
    call = joined("xor")
    call.a.config["trunks"]["ab"]["modes"] = modes
    call.a.write()
    answer = call.a.ask("reload")
    assert not answer["ok"]
    assert told in answer["error"]
