from __future__ import annotations

import json
from datetime import timedelta
from ipaddress import ip_address, ip_network

from site_samples import NEW_KEY, gateway, node, relay, site, trunk, two_edges

from vosctl.compile.memo import Memo
from vosctl.compile.relay import files
from vosctl.compile.site import compile_site
from vosctl.relay import kernel_path
from vosctl.relay.control import config as relay_config
from vosctl.secret import Secret
from vosctl.site.model import (
    Encryption,
    Interface,
    JitterBuffer,
    Learn,
    Limits,
    ProxyMode,
)
from vosctl.site.monitoring import Alerts, Metrics


def relay_files(sample, name):
    return {file.path.rpartition("/")[2]: file for file in files(sample, sample.nodes[name], Memo())}


def tree(sample, name="edge-a"):
    return json.loads(relay_files(sample, name)["relay.json"].content)


def test_what_the_relay_is_told():
    found = tree(two_edges())
    gateways, trunks = found.pop("gateways"), found.pop("trunks")
    assert found == {
        "version": 1, "node": "edge-a", "addresses": ["10.231.0.2", "fd00:231::2"], "ng": ["127.0.0.1", 2223],
        "ports": [16384, 32767], "dscp": 46, "rtp_timeout": 30, "ptime": 20,
        "proxy": "must_on",
    }  # fmt: skip
    assert trunks == {
        "ab": {
            "peer": "edge-b", "addresses": ["10.231.0.3"], "mode": "aes128", "key": "ab-2026q4",
            "accept": ["ab-2026q4", "ab-2026q3"], "proxy": "must_on",
        }
    }  # fmt: skip
    assert sorted(gateways) == ["acme", "bolt", "cube", "near"]
    assert gateways["acme"] == {
        "type": "mapping", "networks": ["203.0.113.10/32", "2001:db8:10::10/128"], "codecs": ["PCMA", "G729"],
        "ptime": 20, "dtmf": "rfc2833", "proxy": "must_on", "learn": "sdp",
        "jitter": {"mode": "adaptive", "min": 20, "max": 200, "start": 60},
        "limits": {"cps": 10, "concurrent": 50, "duration": 1800},
    }  # fmt: skip


def test_the_joined_text_is_what_a_plain_encoder_writes():
    for sample in (two_edges(), site(node("edge-a", "10.231.0.2"))):
        content = relay_files(sample, "edge-a")["relay.json"].content
        assert content.decode() == json.dumps(json.loads(content), sort_keys=True, indent=1) + "\n"


def test_gateways_of_nodes_that_share_names_but_not_objects_stay_apart():
    odd = gateway(
        "acme", "203.0.113.10/32", learn=Learn.ANY, proxy=ProxyMode.AUTO,
        jitter=JitterBuffer("own", adaptive=False, minimum=5, maximum=50, start=10),
    )  # fmt: skip
    sample = site(
        node("edge-a", "10.231.0.2", (gateway("acme", "203.0.113.10/32"),)),
        node("edge-b", "10.231.0.3", (odd,)),
    )
    found = {
        name: json.loads(next(f for f in desired.files if f.path == "/etc/vosctl/relay.json").content)[
            "gateways"
        ]["acme"]
        for name, desired in compile_site(sample, release=None).items()
    }
    assert found["edge-a"]["learn"] == "sdp"
    assert found["edge-b"]["learn"] == "any"
    assert found["edge-b"]["proxy"] == "auto"
    assert found["edge-b"]["jitter"] == {"mode": "fixed", "min": 5, "max": 50, "start": 10}


def test_keys_are_those_of_the_nodes_own_trunks():
    keys = relay_files(two_edges(), "edge-b")["relay-keys.json"]
    assert json.loads(keys.content) == {
        "version": 1,
        "keys": {"ab-2026q4": "Vw4JX0q2uB7mEt9s", "ab-2026q3": "p1Lk8ZsYc3Rf6HdN"},
    }
    alone = site(node("edge-a", "10.231.0.2"))
    assert json.loads(relay_files(alone, "edge-a")["relay-keys.json"].content)["keys"] == {}


def test_an_open_trunk_sends_no_key_even_if_one_is_named():
    joined = trunk(encryption=Encryption.NONE)
    sample = site(node("edge-a", "10.231.0.2", (), (joined,)), node("edge-b", "10.231.0.3", (), (joined,)))
    assert tree(sample)["trunks"]["ab"]["key"] is None
    assert NEW_KEY.value.reveal() not in relay_files(sample, "edge-a")["relay-keys.json"].content.decode()


def test_the_relay_itself_can_read_both_files(tmp_path):
    for name, file in relay_files(two_edges(), "edge-a").items():
        (tmp_path / name).write_bytes(file.content)
    loaded = relay_config.load(tmp_path / "relay.json", tmp_path / "relay-keys.json")
    assert loaded.find("203.0.113.10").name == "acme"
    assert loaded.find("10.231.0.3").name == "ab"


def test_how_the_relay_is_operated_reaches_it(tmp_path):
    outer = Interface(
        "outer", (ip_address("10.0.0.5"),), (ip_address("203.0.113.1"),), (ip_network("203.0.113.0/24"),)
    )
    operated = relay(
        "10.231.0.2",
        interfaces=(outer,),
        limits=Limits(500, 4000, timedelta(hours=4)),
        metrics=Metrics((ip_address("10.231.0.2"), 9110), None),
        recordings="/var/lib/vosctl-relay/recordings",
        low_latency=True,
        kernel_path=True,
        alerts=Alerts(2.0, 40.0, 150.0, timedelta(seconds=30), Secret("https://alerts.example/hook-s3cret")),
    )
    joined = trunk(proxy=ProxyMode.ON, interface="outer")
    sample = site(
        node("edge-a", "10.231.0.2", (gateway("acme", "203.0.113.10/32", interface="outer"),), (joined,), relay=operated),
        node("edge-b", "10.231.0.3", (), (joined,)),
    )  # fmt: skip
    for name, file in relay_files(sample, "edge-a").items():
        (tmp_path / name).write_bytes(file.content)
    assert "hook-s3cret" not in (tmp_path / "relay.json").read_text()
    loaded = relay_config.load(tmp_path / "relay.json", tmp_path / "relay-keys.json")
    assert [each.name for each in loaded.interfaces] == ["default", "outer"]
    assert loaded.interfaces[1].of(4) == ("10.0.0.5", "203.0.113.1")
    assert (loaded.limits.cps, loaded.limits.concurrent, loaded.limits.duration) == (500, 4000, 14400)
    assert loaded.recordings == "/var/lib/vosctl-relay/recordings"
    assert loaded.low_latency
    assert loaded.kernel_path
    assert kernel_path.addresses(tmp_path / "relay.json") == ("10.231.0.2", "10.0.0.5")
    assert (
        kernel_path.addresses(tmp_path / "relay-keys.json") == kernel_path.addresses(tmp_path / "none") == ()
    )
    assert loaded.metrics.listen == ("10.231.0.2", 9110)
    assert (loaded.alerts.loss, loaded.alerts.interval) == (2.0, 30.0)
    assert loaded.webhook == "https://alerts.example/hook-s3cret"
    assert loaded.peers["acme"].interface == loaded.peers["ab"].interface == "outer"
    assert loaded.peers["acme"].limits.cps == 10
    assert loaded.peers["ab"].proxy == "on"
    # The other end knows the relay by the address that its SDP shows.
    assert tree(sample, "edge-b")["trunks"]["ab"]["addresses"] == ["10.231.0.2", "203.0.113.1"]
