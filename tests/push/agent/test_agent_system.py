"""Kernel settings and packages on hosts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_client import Machine, Target, Wanted, wait_until

pytestmark = pytest.mark.netns
FORWARD = "net.ipv4.ip_forward"
SOMAXCONN = "net.core.somaxconn"


def value(host: Machine, key: str) -> str:
    return " ".join(host.run(f"cat /proc/sys/{key.replace('.', '/')}").split())


def test_settings_are_written_and_go_back_to_what_they_were_when_no_longer_wanted(nft: Machine) -> None:
    wanted = Wanted().sysctl(FORWARD, "1").sysctl(SOMAXCONN, "1024")
    assert nft.settle(wanted)["changed"] == [f"sysctl {FORWARD}", f"sysctl {SOMAXCONN}"]
    assert (value(nft, FORWARD), value(nft, SOMAXCONN)) == ("1", "1024")
    assert nft.settle(wanted)["changed"] == []
    nft.settle(Wanted().sysctl(FORWARD, "1").sysctl(SOMAXCONN, "2048"))
    assert nft.settle(Wanted().sysctl(FORWARD, "1"))["changed"] == [f"sysctl {SOMAXCONN}"]
    assert (value(nft, FORWARD), value(nft, SOMAXCONN)) == ("1", "4096")
    nft.ask("rollback")
    assert value(nft, SOMAXCONN) == "2048"


def test_values_of_several_words(nft: Machine) -> None:
    before = value(nft, "net.ipv4.tcp_rmem")
    wanted = Wanted().sysctl("net.ipv4.tcp_rmem", "4096   65536 131072")
    nft.settle(wanted)
    assert nft.inspect(wanted)["sysctls"]["net.ipv4.tcp_rmem"]["value"] == "4096 65536 131072"
    assert nft.settle(wanted)["changed"] == []
    nft.settle(Wanted())
    assert value(nft, "net.ipv4.tcp_rmem") == before


def test_keys_whose_names_have_dots(nft: Machine) -> None:
    nft.run("ip link add eth0.100 type bridge")
    try:
        nft.settle(Wanted().sysctl("net.ipv4.conf.eth0/100.rp_filter", "2"))
        assert nft.run("cat /proc/sys/net/ipv4/conf/eth0.100/rp_filter").strip() == "2"
    finally:
        nft.run("ip link del eth0.100")


def test_the_hosts_own_settings_are_held_in_a_namespace(nft: Machine) -> None:
    machine = Path("/proc/sys/vm/swappiness").read_text()
    wanted = (
        Wanted()
        .sysctl("vm.swappiness", "1")
        .sysctl("net.core.netdev_max_backlog", "5000")
        .sysctl(FORWARD, "1", host_wide=True)
    )
    found = nft.inspect(wanted)["sysctls"]
    assert all(item["held"] for item in found.values())
    assert found["net.core.netdev_max_backlog"]["value"] is None
    assert nft.settle(wanted)["changed"] == []
    assert Path("/proc/sys/vm/swappiness").read_text() == machine
    assert value(nft, FORWARD) == "0"


def test_a_value_that_the_kernel_refuses_takes_everything_back(nft: Machine) -> None:
    wanted = Wanted().file("/etc/voice/a", b"1").sysctl(FORWARD, "1").sysctl(SOMAXCONN, "many")
    answer = nft.apply(wanted)
    assert (answer["op"], answer["rolled_back"], answer["step"], answer["item"]) == (
        "failed",
        True,
        "sysctls",
        SOMAXCONN,
    )
    assert value(nft, FORWARD) == "0"
    assert not nft.path("/etc/voice").exists()


def test_settings_go_back_without_confirmation(nft: Machine) -> None:
    nft.settle(Wanted().sysctl(SOMAXCONN, "1024"))
    nft.apply(Wanted().sysctl(SOMAXCONN, "2048").sysctl(FORWARD, "1"), window=0.5)
    assert wait_until(lambda: (value(nft, FORWARD), value(nft, SOMAXCONN)) == ("0", "1024"))


SLOW_FIRST = """#!/bin/sh
[ -e /var/slow ] || exit 0
mv /var/slow /var/slow-begun
sleep 60
"""


@pytest.fixture
def repository(nft: Machine, tmp_path: Path) -> Iterator[Machine]:
    """A host whose only apt repository is a folder with one package in it, which takes long to set up the first time."""
    tree = tmp_path / "tree" / "DEBIAN"
    tree.mkdir(parents=True)
    (tree / "postinst").write_text(SLOW_FIRST)
    (tree / "postinst").chmod(0o755)
    control = "Package: vosctl-sample\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@example.invalid>\nDescription: sample\n"
    (tree / "control").write_text(control)
    subprocess.run(
        ["dpkg-deb", "-b", str(tree.parent), str(tmp_path / "sample.deb")], check=True, capture_output=True
    )
    size = (tmp_path / "sample.deb").stat().st_size
    digest = subprocess.check_output(["sha256sum", str(tmp_path / "sample.deb")], text=True).split()[0]
    nft.run("mkdir -p /var/repository /etc/apt.away; mv /etc/apt/sources.list* /etc/apt.away/; true")
    nft.path("/var/repository/sample.deb").write_bytes((tmp_path / "sample.deb").read_bytes())
    nft.path("/var/repository/Packages").write_text(
        f"{control}Filename: ./sample.deb\nSize: {size}\nSHA256: {digest}\n"
    )
    nft.path("/etc/apt/sources.list").write_text("deb [trusted=yes] file:/var/repository ./\n")
    yield nft
    nft.run(
        "dpkg --purge vosctl-sample; rm -rf /var/slow* /var/repository /etc/apt/sources.list; mv /etc/apt.away/* /etc/apt/",
        check=False,
    )


@pytest.mark.requires("apt-get", "dpkg-deb")
def test_a_missing_package_is_installed(repository: Machine) -> None:
    wanted = Wanted().file("/etc/voice/a", b"1")
    wanted.packages = ["iptables", "vosctl-sample"]
    assert repository.inspect(wanted)["packages"] == {"iptables": True, "vosctl-sample": False}
    repository.settle(wanted)
    assert repository.inspect(wanted)["packages"] == {"iptables": True, "vosctl-sample": True}
    repository.run("dpkg --remove vosctl-sample")
    assert repository.inspect(wanted)["packages"]["vosctl-sample"] is False


@pytest.mark.requires("apt-get", "dpkg-deb")
def test_a_package_that_nobody_has_changes_nothing(repository: Machine) -> None:
    wanted = Wanted().file("/etc/voice/a", b"1")
    wanted.packages = ["nosuch-package"]
    answer = repository.apply(wanted)
    assert answer["op"] == "error"
    assert "nosuch-package cannot be installed" in answer["error"]
    assert not repository.path("/etc/voice").exists()


@pytest.mark.requires("apt-get", "dpkg-deb")
@pytest.mark.parametrize("end", ["reboot", "kill"])
def test_an_installation_that_was_broken_off_is_finished_by_the_next_apply(
    repository: Machine, end: str
) -> None:
    wanted = Wanted().file("/etc/voice/a", b"1")
    wanted.packages = ["vosctl-sample"]
    repository.path("/var/slow").touch()
    request = repository.apply_frame(wanted, repository.inspect(wanted))
    with repository.agent() as agent:
        agent.send(request)
        assert wait_until(repository.path("/var/slow-begun").exists)
        if end == "reboot":
            repository.fleet.reboot(repository.name)
        else:
            repository.run("pkill -9 -x dpkg; pkill -9 -f '[s]leep 60'")
    assert wait_until(lambda: repository.ask("status")["lock"] is None)
    assert repository.run("dpkg-query -W -f '${db:Status-Status}' vosctl-sample") == "half-configured"
    assert not repository.path("/etc/voice/a").exists()
    repository.settle(wanted)
    assert repository.inspect(wanted)["packages"] == {"vosctl-sample": True}
    assert repository.path("/etc/voice/a").read_bytes() == b"1"


def test_a_directory_has_no_packages_firewall_or_settings(folder: Target) -> None:
    wanted = (
        Wanted()
        .set("vos-a", ["10.0.0.0/8"])
        .rules("*filter\n:VOS-A - [0:0]\nCOMMIT\n")
        .sysctl(FORWARD, "1")
        .file("/etc/a", b"1")
    )
    wanted.packages = ["nosuch-package"]
    before = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    observed = folder.inspect(wanted)
    assert {kind: able for kind, (able, _) in observed["facts"]["can"].items()} == {
        "packages": False,
        "accounts": False,
        "users": False,
        "compile": True,
        "firewall": False,
        "sysctl": False,
    }
    assert observed["rulesets"]["4"]["loaded"] is None
    assert folder.settle(wanted)["changed"] == ["file /etc/a"]
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == before
