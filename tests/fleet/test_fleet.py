"""Hosts are separate from one another and from this machine, and nothing of them stays behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vosctl.errors import HostError, VosctlError
from vosctl.fleet import Fleet, HostSpec, kernel, state
from vosctl.fleet.fleet import clean

pytestmark = pytest.mark.netns

A = HostSpec("edge-a", "10.231.0.2")
B = HostSpec("edge-b", "10.231.0.3")
PLAIN = HostSpec("customer", "10.231.0.10", sshd=False)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    with Fleet.up((A, B, PLAIN), tmp_path_factory.mktemp("fleet")) as made:
        yield made


def ssh(fleet: Fleet, name: str, command: str) -> str:
    argv = fleet.controller_argv(("ssh", "-F", str(fleet.ssh_config), name, command))
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout


def test_ssh_logs_in_with_the_fleets_own_keys_and_known_hosts(fleet):
    assert ssh(fleet, "edge-a", "hostname").strip() == "edge-a"
    assert ssh(fleet, "edge-b", "hostname").strip() == "edge-b"


def test_a_plain_host_has_no_sshd_but_is_on_the_network(fleet):
    with pytest.raises(subprocess.CalledProcessError):
        ssh(fleet, "customer", "true")
    with fleet.socket("edge-a", socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((A.address, 5060))
        server.settimeout(5)
        with fleet.socket("customer", socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"hello", (A.address, 5060))
            data, source = server.recvfrom(100)
    assert (data, source[0]) == (b"hello", PLAIN.address)


def test_files_of_two_hosts_and_of_this_machine_are_apart(fleet):
    for folder in ("/etc", "/var", "/opt", "/usr", "/root", "/run", "/tmp"):
        fleet.exec("edge-a", ("touch", f"{folder}/vosctl-fleet-test"))
        assert (
            fleet.exec("edge-b", ("test", "-e", f"{folder}/vosctl-fleet-test"), check=False).returncode == 1
        )
        assert not Path(folder, "vosctl-fleet-test").exists()
        assert (fleet.root("edge-a") / folder.lstrip("/") / "vosctl-fleet-test").exists()


def test_a_host_tunes_its_own_network_and_nothing_else(fleet):
    before = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    other = "0" if before.strip() == "1" else "1"
    fleet.exec("edge-a", ("sh", "-c", f"echo {other} > /proc/sys/net/ipv4/ip_forward"))
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == before
    for path in ("/proc/sys/vm/swappiness", "/proc/sys/kernel/panic"):
        result = fleet.exec("edge-a", ("sh", "-c", f": > {path}"), check=False)
        assert "Read-only" in result.stderr


def test_a_host_sees_only_its_own_processes(fleet):
    pids = fleet.exec("edge-a", ("sh", "-c", "ls -d /proc/[0-9]*")).stdout.split()
    assert "/proc/1" in pids
    assert len(pids) < 20


def test_firewalls_are_apart(fleet):
    fleet.exec("edge-a", ("iptables", "-N", "APART"))
    assert "APART" in fleet.exec("edge-a", ("iptables", "-S")).stdout
    assert "APART" not in fleet.exec("edge-b", ("iptables", "-S")).stdout


def test_exec_says_what_failed(fleet):
    with pytest.raises(HostError, match=r"edge-a: sh -c .* ended with 3: broken"):
        fleet.exec("edge-a", ("sh", "-c", "echo broken >&2; exit 3"))
    with pytest.raises(HostError, match="took longer than"):
        fleet.exec("edge-a", ("sleep", "30"), timeout=0.3)
    with pytest.raises(VosctlError, match="no host 'nobody'"):
        fleet.exec("nobody", ("true",))


def test_popen_and_stop_end_the_process_on_the_host(fleet):
    process = fleet.popen("edge-a", ("sleep", "4711"))
    while "4711" not in fleet.exec("edge-a", ("ps", "ax")).stdout:
        assert process.poll() is None
    fleet.stop(process)
    assert "4711" not in fleet.exec("edge-a", ("ps", "ax")).stdout


def test_reboot_keeps_files_and_forgets_the_rest(make_fleet):
    fleet = make_fleet(A)
    fleet.exec("edge-a", ("sh", "-c", "echo kept > /etc/kept; echo gone > /run/gone; iptables -N GONE"))
    fleet.reboot("edge-a")
    assert fleet.exec("edge-a", ("cat", "/etc/kept")).stdout == "kept\n"
    assert fleet.exec("edge-a", ("ls", "/run/gone"), check=False).returncode != 0
    assert "GONE" not in fleet.exec("edge-a", ("iptables", "-S")).stdout
    assert ssh(fleet, "edge-a", "hostname").strip() == "edge-a"


def test_a_killed_host_is_unreachable_until_it_boots(make_fleet):
    fleet = make_fleet(A, B)
    fleet.kill("edge-a")
    with pytest.raises(HostError, match="the host is down"):
        fleet.exec("edge-a", ("true",))
    assert ssh(fleet, "edge-b", "hostname").strip() == "edge-b"
    fleet.reboot("edge-a")
    assert ssh(fleet, "edge-a", "hostname").strip() == "edge-a"


def test_each_host_chooses_its_iptables(make_fleet):
    fleet = make_fleet(
        HostSpec("new", "10.231.0.2", sshd=False, iptables="nft"),
        HostSpec("old", "10.231.0.3", sshd=False, iptables="legacy"),
    )
    for name, backend in (("new", "nf_tables"), ("old", "legacy")):
        for program in ("iptables", "ip6tables-save", "iptables-restore"):
            assert backend in fleet.exec(name, (program, "-V")).stdout


def test_two_fleets_with_the_same_addresses_do_not_meet(make_fleet):
    one, two = make_fleet(A), make_fleet(A, B)
    assert one.controller != two.controller
    one.exec("edge-a", ("touch", "/etc/one"))
    assert ssh(one, "edge-a", "ls /etc/one").strip() == "/etc/one"
    assert two.exec("edge-a", ("test", "-e", "/etc/one"), check=False).returncode == 1
    one.down()
    assert ssh(two, "edge-b", "hostname").strip() == "edge-b"


def test_down_leaves_nothing(tmp_path):
    fleet = Fleet.up((A,), tmp_path / "fleet")
    init = fleet.pid("edge-a")
    fleet.down()
    fleet.down()
    assert not state.Process(init, "").alive()
    assert not Path("/run/netns", fleet.controller).exists()
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    with pytest.raises(VosctlError, match="no fleet is up"):
        Fleet.attach(tmp_path / "fleet")


def children() -> set[int]:
    """This process's, dead ones that nobody has waited for among them."""
    return {
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    }


def test_a_host_that_cannot_end_is_named_and_all_else_is_gone(tmp_path):
    fleet = Fleet.up((A,), tmp_path / "fleet")
    init = fleet.pid("edge-a")
    kernel.adopt_orphans()
    try:
        before = children()
        entered = fleet.popen("edge-a", ("sleep", "60"))
        until = time.monotonic() + 10
        while not (inside := state.descendants(entered.pid)):
            assert time.monotonic() < until
        entered.kill()
        entered.wait()
        assert children() - before == {inside[0].pid}
        with pytest.raises(VosctlError, match=rf"gone but for a host that was killed, .* process {init} "):
            fleet.down()
        assert not Path("/run/netns", fleet.controller).exists()
        assert state.named(tmp_path / "fleet") is None
        fleet.down()
        os.waitpid(inside[0].pid, 0)
        until = time.monotonic() + 10
        while Path(f"/proc/{init}/cmdline").exists():  # now that all in it are waited for
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        kernel.adopt_orphans(adopt=False)


def test_a_kept_fleet_is_found_again(tmp_path):
    made = Fleet.up((A, PLAIN), tmp_path / "fleet", keep=True)
    found = Fleet.attach(tmp_path / "fleet")
    assert found.exec("customer", ("hostname",)).stdout == "customer\n"
    found.reboot("edge-a")
    assert ssh(found, "edge-a", "hostname").strip() == "edge-a"
    clean(tmp_path / "fleet")
    assert not Path("/run/netns", made.controller).exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from vosctl.fleet import Fleet, HostSpec
fleet = Fleet.up((HostSpec("edge-a", "10.231.0.2"),), Path(sys.argv[1]))
print(fleet.controller, fleet.pid("edge-a"), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_fleet_removes_what_a_killed_run_left(tmp_path, make_fleet):
    left = subprocess.run(
        (sys.executable, "-c", KILLED, str(tmp_path / "left")), capture_output=True, text=True, check=False
    )
    assert left.returncode == -signal.SIGKILL
    controller, init = left.stdout.split()
    process = state.Process.of(int(init))
    assert process.alive()
    make_fleet(A)
    assert not process.alive()
    assert str(tmp_path / "left") not in Path("/proc/mounts").read_text()
    entry = state.REGISTRY / controller
    assert not entry.exists() or json.loads(entry.read_text())["directory"] != str(tmp_path / "left")


def test_the_processes_of_a_number_that_was_reused_are_spared():
    now = state.Process.of(os.getpid())
    assert now.alive()
    assert not state.Process(now.pid, "another boot/1").alive()
    state.Process(now.pid, "another boot/1").kill()


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        ((A, A), "two hosts of the fleet have the name edge-a"),
        ((A, HostSpec("x", A.address)), "two hosts of the fleet have the address 10.231.0.2"),
        ((HostSpec("x", "192.0.2.1"),), "x: 192.0.2.1 is not in the fleet's network"),
    ],
)
def test_hosts_that_do_not_fit_are_refused(tmp_path, hosts, message):
    with pytest.raises(VosctlError, match=message):
        Fleet.up(hosts, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_host_that_cannot_start_says_why_and_leaves_nothing(tmp_path):
    with pytest.raises(HostError, match="the imaginary backend of iptables is not installed"):
        Fleet.up((A, HostSpec("x", "10.231.0.9", iptables="imaginary")), tmp_path)
    assert state.named(tmp_path) is None
    assert str(tmp_path) not in Path("/proc/mounts").read_text()


INTERRUPTED = """
import sys
import time
from pathlib import Path
from vosctl.fleet import Fleet, HostSpec
hosts = [HostSpec(f"{sys.argv[2]}-{i}", f"10.231.1.{i + 2}", sshd=False) for i in range(60)]
print("ready", flush=True)
Fleet.up(hosts, Path(sys.argv[1]))
"""


@pytest.mark.parametrize("delay", [0.02, 0.1, 0.2, 0.4])
def test_an_interrupted_start_leaves_nothing(tmp_path, delay):
    mine = f"cut{os.getpid()}-{delay}"
    starting = subprocess.Popen(
        (sys.executable, "-c", INTERRUPTED, str(tmp_path / "left"), mine), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    with starting:
        starting.stdout.readline()
        time.sleep(delay)
        os.killpg(starting.pid, signal.SIGINT)
        assert b"KeyboardInterrupt" in starting.communicate(timeout=60)[1]
    assert state.named(tmp_path / "left") is None
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    assert not [path for path in Path("/proc").glob("[0-9]*") if f"init of {mine}" in _command(path)]


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""
