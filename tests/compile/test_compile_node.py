from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from site_samples import MARK, node, relay, site, two_edges

from vosctl.compile.desired import Release, Service
from vosctl.compile.node import compile_node
from vosctl.compile.site import compile_site
from vosctl.errors import VosctlError
from vosctl.site.model import Key
from vosctl.site.own import FileSpec, ServiceSpec
from vosctl.site.read import SiteOptions, read_site

RELEASE = Release("0.1.0", "ab" * 32, b"archive")
DUMP = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from site_samples import two_edges
from vosctl.compile.site import compile_site
for name, desired in compile_site(two_edges(), release=None).items():
    print(name, desired.packages, desired.sysctls, desired.services, desired.sets, desired.rulesets, desired.files)
"""


@pytest.fixture
def edge_a():
    return compile_site(two_edges(), release=RELEASE)["edge-a"]


def paths(desired):
    return [file.path for file in desired.files]


def test_all_that_a_node_gets(edge_a):
    assert paths(edge_a) == [
        "/etc/modules-load.d/vosctl.conf",
        "/etc/motd",
        "/etc/sysctl.d/90-vosctl.conf",
        "/etc/systemd/system/multi-user.target.d/50-vosctl-firewall.conf",
        "/etc/systemd/system/vosctl-firewall.service",
        "/etc/systemd/system/vosctl-relay.service",
        "/etc/vosctl/firewall/rules.v4",
        "/etc/vosctl/firewall/rules.v6",
        "/etc/vosctl/firewall/sets",
        "/etc/vosctl/relay-keys.json",
        "/etc/vosctl/relay.json",
        "/etc/vosctl/routes.bin",
    ]
    assert edge_a.packages == ("conntrack", "ipset", "iptables")
    assert edge_a.release is RELEASE
    assert edge_a.services == (
        Service("chrony"),
        Service(
            "vosctl-relay", "running", True,
            ("/opt/vosctl/current/bin/vosctl-relay", "supervise", "--user", "vosrelay"),
            "/run/vosctl-relay/supervisor.pid", 600,
        ),
    )  # fmt: skip
    assert edge_a.accounts == ("vosrelay",)


def test_only_the_keys_are_secret_and_closed(edge_a):
    secret = [(file.path, file.mode, file.owner, file.group) for file in edge_a.files if file.secret]
    assert secret == [("/etc/vosctl/relay-keys.json", 0o600, "vosrelay", "vosrelay")]
    assert {file.mode for file in edge_a.files if not file.secret} == {0o644}


def test_a_node_without_relay_and_firewall_has_neither():
    plain = node("edge-a", "10.231.0.2", relay=relay("10.231.0.2", enabled=False))
    plain = replace(plain, firewall=replace(plain.firewall, enabled=False))
    desired = compile_site(site(plain), release=RELEASE)["edge-a"]
    assert paths(desired) == ["/etc/sysctl.d/90-vosctl.conf", "/etc/vosctl/routes.bin"]
    assert (desired.sets, desired.rulesets, desired.services, desired.packages) == ((), (), (), ())
    assert desired.release is None
    assert not [each.key for each in desired.sysctls if "conntrack" in each.key]


def test_the_operator_may_stop_the_relay():
    stopped = node("edge-a", "10.231.0.2", services=(ServiceSpec("vosctl-relay", "stopped", False, MARK),))
    service = compile_site(site(stopped), release=RELEASE)["edge-a"].services[0]
    assert (service.state, service.enabled, bool(service.supervise)) == ("stopped", False, True)


def test_the_operators_file_cannot_replace_a_compiled_one():
    mark = replace(MARK, line=7)
    spec = FileSpec("/etc/vosctl/relay.json", "{}", 0o644, "root", "root", False, None, mark)
    with pytest.raises(VosctlError, match=r"group_vars/all.yml:7:1: files./etc/vosctl/relay.json") as caught:
        compile_site(site(node("edge-a", "10.231.0.2", files=(spec,))), release=None)
    assert caught.value.hint


def test_only_selected_nodes_are_compiled_in_order():
    sample = two_edges()
    assert list(compile_site(sample, release=None)) == ["edge-a", "edge-b"]
    assert list(compile_site(replace(sample, selected=("edge-b",)), release=None)) == ["edge-b"]


def test_a_node_compiles_alone_as_it_does_among_others():
    sample = two_edges()
    together = compile_site(sample, release=RELEASE)
    for name in sample.nodes:
        assert compile_node(sample, sample.nodes[name], RELEASE) == together[name]


def test_two_processes_with_different_hash_seeds_compile_the_same_bytes():
    def compiled(seed):
        command = (sys.executable, "-c", DUMP, str(Path(__file__).parent))
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        return subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60).stdout

    first = compiled("1")
    assert len(first) > 30_000
    assert first == compiled("4242")


def test_both_ends_of_a_trunk_say_the_same():
    shown = []
    for desired in compile_site(two_edges(), release=None).values():
        file = next(file for file in desired.files if file.path.endswith("/relay.json"))
        trunk = json.loads(file.content)["trunks"]["ab"]
        shown.append({key: trunk[key] for key in ("mode", "key", "accept")})
    assert shown[0] == shown[1]


def test_a_new_secret_value_changes_the_key_file_and_nothing_else():
    sample = two_edges()
    changed = sample.nodes["edge-a"].trunks["ab"]
    other = Key(changed.key.name, type(changed.key.value)("A" * 16), MARK)
    trunk = replace(changed, key=other, accept=(other, *changed.accept[1:]))
    edge = replace(sample.nodes["edge-a"], trunks={"ab": trunk})
    before = compile_node(sample, sample.nodes["edge-a"], None)
    after = compile_node(sample, edge, None)
    moved = [new.path for old, new in zip(before.files, after.files, strict=True) if old != new]
    assert moved == ["/etc/vosctl/relay-keys.json"]
    assert replace(before, files=()) == replace(after, files=())


def test_users_keys_and_jobs_become_files():
    folder = Path(__file__).resolve().parents[1] / "site/positive/users-and-cron"
    found, problems = read_site(SiteOptions(inventory=(folder / "hosts.yml",)))
    problems.raise_errors()
    desired = compile_node(found, found.nodes[found.selected[0]], None)
    files = {file.path: file for file in desired.files}
    keys = files["/home/ops/.ssh/authorized_keys"]
    assert (keys.mode, keys.owner, keys.group) == (0o600, "ops", "root")
    assert files["/etc/cron.d/cdr-export"].content.decode().splitlines() == [
        "# Written by vosctl from cron.cdr-export.",
        'MAILTO="noc@example.com"',
        "*/5 8-18 * * mon ops date +\\%s > /tmp/x",
        "0 0 29 2 * root true",
        "0 0 30 2 1 root true",
        "@reboot root true",
    ]
    assert [(user.name, user.present, user.groups) for user in desired.users] == [
        ("old", False, None),
        ("ops", True, ("adm",)),
    ]


@pytest.mark.parametrize(("length", "seconds"), [(timedelta(), 0), (timedelta(minutes=30), 1800)])
def test_how_long_a_restart_waits_for_calls_goes_with_the_relay(length, seconds):
    edges = two_edges()
    edge = edges.nodes["edge-a"]
    made = compile_node(edges, replace(edge, relay=replace(edge.relay, drain=length)), RELEASE)
    assert {service.name: service.drain for service in made.services}["vosctl-relay"] == seconds
