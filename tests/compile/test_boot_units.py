"""What the boot unit runs, run for real in a network namespace."""

from __future__ import annotations

import configparser
import shlex
import subprocess

import pytest
from site_samples import node, relay, two_edges

from vosctl.compile.node import compile_node
from vosctl.compile.site import compile_site

UNIT = "/etc/systemd/system/vosctl-firewall.service"


@pytest.fixture
def files():
    made = compile_site(two_edges(), release=None)["edge-a"].files
    return {file.path: file.content.decode() for file in made if not file.path.endswith(".bin")}


def commands(unit):
    return [line.removeprefix("ExecStart=") for line in unit.splitlines() if line.startswith("ExecStart=")]


@pytest.mark.netns
@pytest.mark.requires("iptables", "ip6tables", "ipset")
def test_the_boot_unit_brings_sets_rules_and_hooks_back_and_may_run_again(files, tmp_path):
    for path, content in files.items():
        if path.startswith("/etc/vosctl/firewall/"):
            (tmp_path / path.rpartition("/")[2]).write_text(content)
    steps = [each.replace("/etc/vosctl/firewall", str(tmp_path)) for each in commands(files[UNIT])]
    assert len(steps) == 1 + 2 * (1 + 5)
    script = "set -e\n" + "\n".join(steps * 2) + "\nipset save\niptables-save\nip6tables-save\n"
    done = subprocess.run(
        ("unshare", "-n", "sh", "-c", script), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    for hook in ("-A INPUT -j VOS-INPUT", "-A PREROUTING -j VOS-MEDIA-IN", "-A OUTPUT -j VOS-DSCP"):
        assert done.stdout.count(hook) == 2  # once a family
    for line in (
        *files["/etc/vosctl/firewall/rules.v4"].splitlines(),
        *files["/etc/vosctl/firewall/rules.v6"].splitlines(),
    ):
        assert not line.startswith("-A") or line in done.stdout
    assert "add vos-peers4 203.0.113.10" in done.stdout
    assert "vos-peers4-t" not in done.stdout


def sections(text):
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(text)
    return parser


def test_the_relay_unit_runs_the_supervisor_with_room_for_its_sockets(files):
    unit = sections(files["/etc/systemd/system/vosctl-relay.service"])
    assert shlex.split(unit["Service"]["ExecStart"])[0] == "/opt/vosctl/current/bin/vosctl-relay"
    assert unit["Service"]["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert unit["Service"]["LimitNOFILE"] == "65536"
    assert unit["Install"]["WantedBy"] == "multi-user.target"


@pytest.mark.parametrize(("calls", "limit"), [(100, 65536), (20_000, 164_096), (10**6, 1 << 20)])
def test_the_limit_of_open_files_follows_the_calls(calls, limit):
    sample = two_edges()
    made = node("edge-a", "10.231.0.2")
    media = type(made.media)(made.media.proxy, made.media.jitter, made.media.ptime, calls)
    desired = compile_node(sample, node("edge-a", "10.231.0.2", media=media), None)
    text = next(file.content for file in desired.files if file.path.endswith("vosctl-relay.service")).decode()
    assert f"LimitNOFILE={limit}\n" in text


def test_the_relay_has_the_capabilities_of_the_kernels_path_only_with_it():
    sample, found = two_edges(), {}
    for on in (False, True):
        made = node("edge-a", "10.231.0.2", relay=relay("10.231.0.2", kernel_path=on))
        desired = compile_node(sample, made, None)
        text = next(file.content for file in desired.files if file.path.endswith("vosctl-relay.service"))
        found[on] = text.decode().splitlines()
    more = sorted(set(found[True]) - set(found[False]))
    assert [line for line in more if not line.startswith("#")] == [
        "AmbientCapabilities=CAP_BPF CAP_NET_ADMIN",
        "CapabilityBoundingSet=CAP_BPF CAP_NET_ADMIN",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "SystemCallFilter=bpf capset",
    ]
    assert {"AmbientCapabilities=", "CapabilityBoundingSet="} < set(found[False])


def test_something_starts_the_firewall_unit_at_boot(files):
    drop_in = sections(files["/etc/systemd/system/multi-user.target.d/50-vosctl-firewall.conf"])
    assert drop_in["Unit"]["Wants"] == "vosctl-firewall.service"
    assert sections(files[UNIT])["Unit"]["Before"].startswith("network-pre.target")
