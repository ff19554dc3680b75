"""relay.json and relay-keys.json: what is right is read, everything wrong is told at once, keys never are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from vosctl.errors import RelayError
from vosctl.relay.control import config as configuration

GOOD = {
    "version": 1,
    "node": "edge-a",
    "addresses": ["192.0.2.1", "2001:db8::1"],
    "ng": ["127.0.0.1", 2223],
    "ports": [16384, 32767],
    "dscp": 46,
    "rtp_timeout": 30,
    "ptime": 20,
    "gateways": {
        "acme": {"type": "mapping", "networks": ["198.51.100.0/24"], "learn": "sdp"},
        "acme-lab": {"type": "mapping", "networks": ["198.51.100.8/29", "2001:db8:8::/48"], "learn": "any"},
        "peer": {"type": "routing", "networks": ["203.0.113.0/24"]},
    },
    "trunks": {
        "ab": {"addresses": ["203.0.113.7"], "mode": "aes128", "key": "new", "accept": ["new", "old"]},
        "ac": {"addresses": ["203.0.113.8"], "mode": "none"},
    },
}
KEYS = {"version": 1, "keys": {"new": "0123456789abcdef", "old": "fedcba9876543210"}}


def load(folder: Path, tree: object = GOOD, keys: object = KEYS) -> configuration.Config:
    folder.joinpath("relay.json").write_text(json.dumps(tree))
    folder.joinpath("keys.json").write_text(json.dumps(keys))
    return configuration.load(folder / "relay.json", folder / "keys.json")


def refused(folder: Path, tree: object = GOOD, keys: object = KEYS) -> str:
    with pytest.raises(RelayError) as caught:
        load(folder, tree, keys)
    return str(caught.value)


def test_a_good_one_is_read(tmp_path):
    config = load(tmp_path)
    assert (config.node, config.ng, config.ports) == ("edge-a", ("127.0.0.1", 2223), (16384, 32767))
    assert config.digest == hashlib.sha256((tmp_path / "relay.json").read_bytes()).hexdigest()
    assert config.peers["ab"].accept == ("new", "old")
    assert config.local(4) == "192.0.2.1"
    assert config.local(6) == "2001:db8::1"
    assert "0123456789abcdef" not in repr(config)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("198.51.100.1", "acme"),
        ("198.51.100.9", "acme-lab"),
        ("2001:db8:8::1", "acme-lab"),
        ("203.0.113.7", "ab"),
        ("203.0.113.9", "peer"),
        ("192.0.2.99", None),
        ("::1", None),
    ],
)
def test_an_address_belongs_to_a_trunk_else_to_the_longest_prefix(tmp_path, address, name):
    found = load(tmp_path).find(address)
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 2}, "version: must be 1"),
        ({"node": 5}, "node: must be a string"),
        ({"addresses": []}, "addresses: must name at least one"),
        ({"addresses": ["nowhere"]}, "addresses: 'nowhere' does not appear to be an IPv4 or IPv6 address"),
        ({"addresses": "192.0.2.1"}, "addresses: must be a list of strings"),
        ({"ng": "127.0.0.1:2223"}, "ng: must be"),
        ({"ng": ["127.0.0.1", True]}, "ng: must be"),
        ({"ports": [2, 1]}, "ports: must be [lowest, highest]"),
        ({"dscp": 184}, "dscp: must be a whole number from 0 to 63"),
        ({"dscp": True}, "dscp: must be a whole number"),
        ({"rtp_timeout": 0}, "rtp_timeout: must be a whole number from 1"),
        ({"gateways": []}, "gateways: must be an object of objects"),
        ({"gateways": {"x": {"networks": ["1.2.3.0/33"]}}}, "gateways.x.networks: '1.2.3.0/33'"),
        ({"gateways": {"x": {"learn": "guess"}}}, "gateways.x.learn: must be one of sdp, nat, any"),
        ({"trunks": {"peer": {"mode": "none"}}}, "trunks.peer: is the name of a gateway too"),
        ({"trunks": {"t": {"mode": "des"}}}, "trunks.t.mode: must be one of none, xor, rc4, aes128, srtp"),
        (
            {"trunks": {"t": {"mode": "xor", "key": "gone"}}},
            "trunks.t.accept: key `gone` is not in the key table",
        ),
        ({"trunks": {"t": {"mode": "xor"}}}, "trunks.t.key: must be a string"),
    ],
)
def test_mistakes_are_named(tmp_path, change, told):
    assert told in refused(tmp_path, {**GOOD, **change})


def test_all_mistakes_come_at_once(tmp_path):
    text = refused(tmp_path, {**GOOD, "dscp": 64, "ng": None, "addresses": []})
    assert all(name in text for name in ("dscp:", "ng:", "addresses:"))


@pytest.mark.parametrize(
    ("mode", "value", "told"),
    [
        ("aes128", "MySecureKey2026!AES", "must be ASCII letters and digits"),
        ("aes128", "MySecureKey2026AES1", "has 19 characters, aes128 takes 16"),
        ("rc4", "tooshort", "has 8 characters, rc4 takes 16 to 32"),
        ("xor", "x" * 257, "has 257 characters, xor takes 1 to 256"),
        ("xor", " blank", "must be ASCII letters and digits"),
        ("xor", 12345, "must be ASCII letters and digits"),
    ],
)
def test_keys_that_do_not_fit_are_refused_and_not_shown(tmp_path, mode, value, told):
    trunks = {"t": {"addresses": [], "mode": mode, "key": "k"}}
    text = refused(tmp_path, {**GOOD, "trunks": trunks}, {"version": 1, "keys": {"k": value}})
    assert told in text
    assert str(value) not in text


def test_a_key_id_that_is_none(tmp_path):
    assert "a key id is" in refused(tmp_path, keys={"keys": {"with space": "abc"}})
    assert "`keys` must be an object" in refused(tmp_path, keys={})


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[]", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(tmp_path, raw):
    load(tmp_path)
    for name in ("relay.json", "keys.json"):
        before = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(RelayError, match=name):
            configuration.load(tmp_path / "relay.json", tmp_path / "keys.json")
        (tmp_path / name).write_bytes(before)


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(RelayError, match="No such file") as caught:
        configuration.load(tmp_path / "relay.json", tmp_path / "keys.json")
    assert "apply the site" in caught.value.hint
