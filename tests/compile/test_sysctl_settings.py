from __future__ import annotations

import subprocess
from ipaddress import ip_address

import pytest
from msgspec.structs import replace
from site_samples import firewall, node, relay

from vosctl.compile import sysctl
from vosctl.firewall.capacity import strangers_a_second, tracked_connections
from vosctl.site.model import PortRange


def values(**changes):
    return {each.key: each.value for each in sysctl.settings(node("edge-a", "10.231.0.2", **changes))}


def sized(calls, ptime=20):
    made = node("edge-a", "10.231.0.2")
    return values(media=replace(made.media, calls=calls, ptime=ptime))


def test_small_nodes_get_the_floor():
    found = sized(10)
    assert found["net.core.rmem_max"] == found["net.core.wmem_max"] == str(4 << 20)
    assert found["net.core.netdev_max_backlog"] == "5000"
    assert found["net.core.netdev_budget"] == "300"
    assert found["net.netfilter.nf_conntrack_max"] == found["net.netfilter.nf_conntrack_buckets"] == "1048576"


def test_buffers_and_backlog_follow_calls_times_packet_rate():
    # 5,000 calls × 2 × 50 packets = 500,000 a second: 50 ms are 25,000 packets of 1,280 bytes = 32 MB.
    assert sized(5000)["net.core.rmem_max"] == str(32 << 20)
    assert sized(5000)["net.core.netdev_max_backlog"] == "10000"
    assert sized(5000)["net.core.netdev_budget"] == "2000"
    assert sized(5000, ptime=40)["net.core.rmem_max"] == str(16 << 20)
    assert sized(10**6)["net.core.rmem_max"] == str(128 << 20)
    assert sized(200_000)["net.netfilter.nf_conntrack_max"] == str(2 << 20)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "2223,5060-5061,16384-32767"),
        ({"relay": relay("10.231.0.2", enabled=False)}, "5060-5061"),
        ({"relay": relay("10.231.0.2", ports=PortRange(5062, 9999), ng=(ip_address("127.0.0.1"), 10000))},
         "5060-10000"),
        ({"firewall": firewall(sip_udp=(5080,), sip_tcp=(), sip_tls=())}, "2223,5080,16384-32767"),
    ],
)  # fmt: skip
def test_ports_that_programs_listen_on_are_reserved(changes, expected):
    assert values(**changes)["net.ipv4.ip_local_reserved_ports"] == expected


def test_the_operator_wins_and_adds():
    found = values(sysctl={"net.core.somaxconn": "128", "vm.swappiness": "1"})
    assert found["net.core.somaxconn"] == "128"
    assert found["vm.swappiness"] == "1"


def test_the_sites_own_connections_size_both_the_table_and_what_strangers_may_send():
    own = {"net.netfilter.nf_conntrack_max": "65536"}
    found = values(sysctl=own)
    assert found["net.netfilter.nf_conntrack_max"] == found["net.netfilter.nf_conntrack_buckets"] == "65536"
    assert tracked_connections(node("edge-a", "10.231.0.2", sysctl=own)) == 65536
    assert strangers_a_second(65536) == 65536 // 2 // 30


def test_sources_without_a_route_are_refused_only_where_there_is_a_firewall():
    assert {values()[f"net.ipv4.conf.{each}.rp_filter"] for each in ("all", "default")} == {"2"}
    assert "net.ipv4.conf.all.rp_filter" not in values(firewall=firewall(enabled=False))


def test_host_wide_settings_are_marked():
    made = node("edge-a", "10.231.0.2", sysctl={"vm.swappiness": "1"})
    marked = {each.key for each in sysctl.sysctls(made) if each.host_wide}
    assert marked == {
        "net.core.netdev_budget", "net.core.netdev_max_backlog", "net.core.rmem_max", "net.core.wmem_max", "vm.swappiness",
        "net.netfilter.nf_conntrack_buckets", "net.netfilter.nf_conntrack_max",
    }  # fmt: skip


def test_each_line_of_the_file_has_its_reason():
    made = node("edge-a", "10.231.0.2")
    text = sysctl.files(made)[0].content.decode()
    blocks = text.strip().split("\n\n")[1:]
    assert len(blocks) == len(sysctl.settings(made))
    for block, setting in zip(blocks, sysctl.settings(made), strict=True):
        *comments, line = block.splitlines()
        assert all(comment.startswith("# ") for comment in comments)
        assert line == f"{setting.key} = {setting.value}"
    assert "50000 packets a second" in text


@pytest.mark.netns
def test_a_namespace_takes_every_setting_that_is_not_host_wide(tmp_path):
    settings = [each for each in sysctl.sysctls(node("edge-a", "10.231.0.2")) if not each.host_wide]
    path = tmp_path / "settings.conf"
    path.write_text("".join(f"{each.key} = {each.value}\n" for each in settings))
    read = " ".join(each.key for each in settings)
    # A rule that needs connection tracking makes its keys appear, as on a node.
    script = f"iptables -A INPUT -m conntrack --ctstate NEW && sysctl -qp {path} && sysctl -n {read}"
    done = subprocess.run(
        ("unshare", "-n", "sh", "-c", script), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == [each.value for each in settings]
