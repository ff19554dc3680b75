"""A call through two relays: bit for bit, encrypted on the wire, and through a reload, in every mode."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import time

import pytest

from vosctl.demo import call, wav
from vosctl.demo.ground import FleetGround, LocalGround, ask_relay
from vosctl.demo.hosts import ADDRESSES, EDGES, HOSTS
from vosctl.demo.local import NODES, OTHERS
from vosctl.errors import HostError, VosctlError
from vosctl.fleet import Fleet
from vosctl.relay.ng import NgError
from vosctl.relay.release import build_release

MODES = ("none", "xor", "rc4", "aes128")
KEYS = {"xor": "k3yForXor", "rc4": "0123456789abcdefXYZ", "aes128": "u7XkQ2mZr94TbnLe"}


def trunks(peer: str, address: str) -> dict:
    return {
        mode: {"peer": peer, "addresses": [address], "mode": mode, "key": mode, "accept": [mode]}
        if mode != "none"
        else {"peer": peer, "addresses": [address], "mode": mode, "key": None, "accept": []}
        for mode in MODES
    }


def gateway(kind: str, address: str) -> dict:
    return {
        "type": kind, "networks": [f"{address}/32"], "codecs": ["PCMA"], "ptime": 20, "dtmf": "rfc2833",
        "proxy": "must_on", "learn": "sdp", "jitter": {"mode": "adaptive", "min": 20, "max": 200, "start": 60},
        "limits": {"cps": 10, "concurrent": 50, "duration": 1800},
    }  # fmt: skip


def install(root, name: str, addresses: dict[str, str], ng: str) -> None:
    other = EDGES[1 - EDGES.index(name)]
    gateways = {"acme": gateway("mapping", ADDRESSES["customer"])}
    if name == "edge-b":
        gateways = {"orbit": gateway("routing", ADDRESSES["vendor"])}
    config = {
        "version": 1, "node": name, "addresses": [addresses[name]], "ng": [ng, 2223], "ports": [16384, 16583],
        "dscp": 46, "rtp_timeout": 30, "ptime": 20, "gateways": gateways,
        "trunks": trunks(other, addresses[other]),
    }  # fmt: skip
    folder = root / "etc/vosctl"
    folder.mkdir(parents=True)
    (folder / "relay.json").write_text(json.dumps(config))
    (folder / "relay-keys.json").write_text(json.dumps({"version": 1, "keys": KEYS}))
    release = root / "opt/vosctl/current"
    release.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(build_release().archive)) as archive:
        archive.extractall(release)


def awake(ground) -> None:
    for node in EDGES:
        deadline = time.monotonic() + 20
        while True:
            try:
                if ask_relay(ground, node, "status")["media"]["up"]:
                    break
            except VosctlError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.05)


@pytest.fixture(scope="module")
def in_namespaces(tmp_path_factory):
    with Fleet.up(HOSTS[:4], tmp_path_factory.mktemp("call")) as fleet:
        for node in EDGES:
            install(fleet.root(node), node, ADDRESSES, "127.0.0.1")
            fleet.exec(node, ("/opt/vosctl/current/bin/vosctl-relay", "supervise"))
        ground = FleetGround(fleet)
        awake(ground)
        yield ground


@pytest.fixture(scope="module")
def in_directories(tmp_path_factory, loopback_for_all):
    directory = tmp_path_factory.mktemp("call")
    for node in EDGES:
        install(directory / node, node, NODES, NODES[node])
        relay(directory, node, "supervise")
    ground = LocalGround(directory, NODES | OTHERS)
    try:
        awake(ground)
        yield ground
    finally:
        for node in EDGES:
            relay(directory, node, "stop")


def relay(directory, node: str, command: str) -> None:
    program = directory / node / "opt/vosctl/current/bin/vosctl-relay"
    subprocess.run(
        (program, command, "--root", directory / node), check=True, capture_output=True, timeout=30
    )


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    directory = tmp_path_factory.mktemp("voices")
    made = []
    for seed in range(2):
        wav.speak(directory / f"{seed}.wav", 1.2, seed=seed)
        made.append(wav.frames(wav.encode(wav.read(directory / f"{seed}.wav"))))
    return made


def check(ground, mode: str, voices, **options) -> None:
    route = call.find_route(ground, "customer", "vendor", EDGES, known_as=ADDRESSES, trunk=mode)
    made = call.place(ground, route, *voices, **options)
    for way in (made.there, made.back):
        assert way.exact
        assert way.proof.packets == way.proof.recovered == len(voices[0])
        assert way.proof.plain == (len(voices[0]) if mode == "none" else 0)
        assert way.proof.holds == (mode != "none")
        assert (way.crypto.mode if way.crypto else "none") == mode
    if mode != "none":
        assert made.there.crypto.salt != made.back.crypto.salt


@pytest.mark.netns
@pytest.mark.parametrize("mode", MODES)
def test_a_call_through_two_nodes(in_namespaces, voices, mode):
    check(in_namespaces, mode, voices)


@pytest.mark.netns
@pytest.mark.parametrize("mode", MODES)
def test_a_reload_of_both_relays_in_mid_call_loses_nothing(in_namespaces, voices, mode):
    def reload() -> None:
        for node in EDGES:
            ask_relay(in_namespaces, node, "reload")

    check(in_namespaces, mode, voices, during=reload)


@pytest.mark.parametrize("mode", ["none", "aes128"])
def test_a_call_between_directories_without_privileges(in_directories, voices, mode):
    check(in_directories, mode, voices)


@pytest.mark.netns
def test_a_route_that_does_not_exist_says_so(in_namespaces):
    with pytest.raises(VosctlError, match="no trunk moon joins edge-a and edge-b"):
        call.find_route(in_namespaces, "customer", "vendor", EDGES, known_as=ADDRESSES, trunk="moon")
    with pytest.raises(VosctlError, match="no mapping gateway on edge-a has vendor's address"):
        call.find_route(in_namespaces, "vendor", "vendor", EDGES, known_as=ADDRESSES)
    with pytest.raises(HostError, match=r"customer: /etc/vosctl/relay\.json is missing"):
        call.find_route(in_namespaces, "customer", "vendor", ("customer", "edge-b"), known_as=ADDRESSES)


@pytest.mark.netns
def test_a_refusal_of_a_relay_is_told(in_namespaces, voices):
    route = call.find_route(in_namespaces, "customer", "vendor", EDGES, known_as=ADDRESSES)
    nowhere = call.Route(**{name: getattr(route, name) for name in route.__slots__} | {"trunk": "moon"})
    with pytest.raises(NgError, match="moon"):
        call.place(in_namespaces, nowhere, *voices)
