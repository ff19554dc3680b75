"""A node where systemd runs: the real one, as PID 1 of namespaces that keep it from the machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from agent_client import Target, Wanted, wait_until

from vosctl.compile.text import render

SYSTEMD = Path("/usr/lib/systemd/systemd")
# No unit of the machine's is in reach, /proc/sys is read-only, /dev and the cgroup are its own.
BOOT = """
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/lock /run/host/units /run/host/generators /run/dev
mount -t tmpfs -o mode=755 dev /run/dev
for n in null zero full random urandom tty; do touch /run/dev/$n; mount --bind /dev/$n /run/dev/$n; done
mkdir /run/dev/shm /run/dev/pts
ln -s /proc/self/fd /run/dev/fd
mount --move /run/dev /dev
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,ro,bind /proc/sys
umount -R /sys/fs/cgroup
mount -t sysfs -o ro sysfs /sys
mount -t cgroup2 cgroup /sys/fs/cgroup
for t in basic sysinit shutdown umount final slices sockets timers paths multi-user local-fs network-pre; do
  printf '[Unit]\\nDescription=%s\\n' $t >/run/host/units/$t.target
done
ln -s basic.target /run/host/units/default.target
mount --bind /run/host/units /usr/lib/systemd/system
mount --bind /run/host/generators /usr/lib/systemd/system-generators
for d in etc var opt; do
  mkdir /run/host/$d /run/host/$d.work
  mount -t overlay overlay /$d -o lowerdir=/$d,upperdir=/run/host/$d,workdir=/run/host/$d.work
done
rm -rf /etc/systemd/system/* /var/lib/vosctl
export container=vosctl
exec /usr/lib/systemd/systemd --system --log-target=null
"""


def cgroups() -> Path | None:
    """Where cgroups of version 2 are mounted."""
    for line in Path("/proc/mounts").read_text().splitlines():
        words = line.split()
        if words[2] == "cgroup2" and os.access(words[1], os.W_OK):
            return Path(words[1])
    return None


pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not SYSTEMD.exists(), reason="needs systemd installed"),
    pytest.mark.skipif(cgroups() is None, reason="needs cgroups of version 2"),
]


class Booted(Target):
    """A node that systemd booted."""

    def __init__(self, pid: int) -> None:
        super().__init__(
            argv=lambda argv: ["nsenter", "-t", str(pid), "-n", "-m", "-u", "-i", "-C", "-p", "--", *argv]
        )
        self.pid = pid

    def run(self, script: str, *, check: bool = True) -> str:
        result = subprocess.run(
            self.argv(["sh", "-c", script]), capture_output=True, text=True, check=False, timeout=60
        )
        assert result.returncode == 0 or not check, result.stderr
        return result.stdout.strip()

    def path(self, path: str) -> Path:
        return Path(f"/proc/{self.pid}/root{path}")


@pytest.fixture(scope="module")
def booted() -> Iterator[Booted]:
    group = cgroups() / f"vosctl-test-{os.getpid()}"
    group.mkdir()
    outer = subprocess.Popen(
        ["sh", "-c", f'echo $$ >{group}/cgroup.procs; exec unshare -n -m -u -i -C -p -f sh -c "$0"', BOOT],
        stderr=subprocess.PIPE,
    )
    inner = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
    try:
        assert wait_until(lambda: bool(inner.read_text().split()))
        found = Booted(int(inner.read_text().split()[0]))
        ready = ["systemctl", "is-system-running"]
        assert wait_until(
            lambda: (
                "running"
                in subprocess.run(found.argv(ready), capture_output=True, text=True, check=False).stdout
            )
        )
        yield found
    finally:
        for child in inner.read_text().split() if inner.exists() else ():
            os.kill(int(child), signal.SIGKILL)
        outer.wait(20)
        outer.stderr.close()
        for folder, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)  # noqa: PTH106  a cgroup


@pytest.fixture
def node(booted: Booted) -> Iterator[Booted]:
    yield booted
    booted.ask("rollback") if booted.ask("status")["pending"] else None
    booted.settle(Wanted().service("voice", state="stopped", enabled=False))
    booted.settle(Wanted())
    booted.run(
        "rm -rf /var/lib/vosctl /run/vosctl /etc/systemd/system/*; systemctl daemon-reload; systemctl reset-failed"
    )


UNIT = "/etc/systemd/system/voice.service"


def sample(config: bytes = b"1", command: str = "sleep 1000", **fields: object) -> Wanted:
    text = (
        f"[Service]\nExecStart=/bin/{command}\nExecReload=/bin/sh -c 'cat /etc/voice/config >>/run/reloads'\n"
    )
    text += "[Install]\nWantedBy=multi-user.target\n"
    wanted = Wanted().file(UNIT, text.encode()).file("/etc/voice/config", config, reload="voice")
    return wanted.service("voice", **fields)


def test_a_unit_comes_with_its_service_and_lives(node: Booted) -> None:
    assert node.ask("facts")["facts"]["systemd"]
    assert node.inspect(sample())["services"]["voice"] == {
        "state": "stopped",
        "enabled": False,
        "known": True,
    }
    assert node.settle(sample())["changed"][-2:] == ["service voice enabled", "service voice start"]
    assert node.run("systemctl is-enabled voice; systemctl is-active voice") == "enabled\nactive"
    assert node.settle(sample())["changed"] == []
    pid = node.run("systemctl show -p MainPID voice")
    assert node.settle(sample(b"2"))["changed"] == ["file /etc/voice/config", "service voice reload"]
    assert node.run("cat /run/reloads; rm /run/reloads") == "2"
    assert node.run("systemctl show -p MainPID voice") == pid
    assert node.settle(sample(b"2", "sleep 2000"))["changed"] == [f"file {UNIT}", "service voice restart"]
    assert node.run("systemctl show -p MainPID voice") != pid
    assert "sleep 2000" in node.run("systemctl show -p ExecStart voice")


def test_without_confirmation_the_unit_goes_and_the_service_stops(node: Booted) -> None:
    applied = node.apply(sample(), window=1.5)
    assert applied["op"] == "applied", applied
    guard = f"vosctl-guard-{applied['id']}"
    assert node.run(f"systemctl is-active {guard}") == "active"
    assert wait_until(lambda: node.ask("status")["pending"] is None)
    assert not node.path(UNIT).exists()
    assert node.run("systemctl is-active voice", check=False) in ("inactive", "failed", "unknown")
    assert "not-found" in node.run("systemctl show -p LoadState voice")
    assert wait_until(lambda: node.run(f"systemctl is-active {guard}", check=False) == "inactive")


def test_a_killed_guard_comes_back_and_does_its_work(node: Booted) -> None:
    applied = node.apply(sample(), window=3)
    node.run(f"systemctl kill -s KILL vosctl-guard-{applied['id']}")
    # Nobody asks the node anything until the deadline has passed.
    time.sleep(4)
    assert wait_until(lambda: not node.path("/var/lib/vosctl/pending.json").exists())
    assert not node.path(UNIT).exists()


def test_a_unit_that_fails_takes_everything_back(node: Booted) -> None:
    answer = node.apply(sample(command="false"))
    assert (answer["op"], answer["rolled_back"], answer["item"]) == ("failed", True, "voice")
    assert "journalctl -u voice" in answer["hint"]
    assert not node.path(UNIT).exists()


def test_an_unknown_unit(node: Booted) -> None:
    answer = node.apply(Wanted().service("nosuch"))
    assert (answer["op"], answer["rolled_back"]) == ("failed", True)
    assert "nosuch is not known" in answer["error"]


@pytest.mark.requires("iptables", "ipset")
def test_the_boot_unit_takes_back_and_loads_the_firewall(node: Booted) -> None:
    rules = "*filter\n:VOS-INPUT - [0:0]\n-A VOS-INPUT -p udp -m udp --dport 5060 -j DROP\nCOMMIT\n"
    old = sample().rules(rules, ("filter", "INPUT", "VOS-INPUT"))
    node.settle(old)
    node.apply(
        sample(b"2").rules(rules.replace("5060", "5061"), ("filter", "INPUT", "VOS-INPUT")), window=600
    )
    assert node.run("systemctl is-enabled vosctl-boot") == "enabled"
    # As after a reboot: nothing is loaded, /run is new, nobody guards.
    node.run(
        "systemctl stop 'vosctl-guard-*' voice; iptables -F; iptables -X; rm -rf /run/vosctl; systemctl start vosctl-boot"
    )
    assert node.path("/etc/voice/config").read_bytes() == b"1"
    assert "--dport 5060" in node.run("iptables-save")
    assert node.ask("status")["pending"] is None
    # Starting services is for systemd itself then.
    assert node.run("systemctl is-active voice", check=False) == "inactive"
    node.run("systemctl start voice")
    assert node.settle(old)["changed"] == []


def test_a_timer_runs_from_the_apply_on_and_goes_with_its_file(node: Booted) -> None:
    units, config = "/etc/systemd/system/vosctl-firewall-watch", "/etc/vosctl/firewall/watch.json"
    page = "/var/lib/metrics/firewall.prom"
    watching = (
        Wanted()
        .file(f"{units}.service", render("firewall/vosctl-firewall-watch.service.j2", config=config))
        .file(f"{units}.timer", render("firewall/vosctl-firewall-watch.timer.j2", seconds=1))
        .file(config, json.dumps({"textfile": page, "conntrack": 80}).encode())
    )
    node.settle(watching)
    assert node.run("systemctl is-active vosctl-firewall-watch.timer") == "active"
    assert wait_until(node.path(page).exists), node.run("systemctl status vosctl-firewall-watch", check=False)
    assert 'vosctl_firewall_alert{figure="conntrack"} 0' in node.path(page).read_text()
    node.settle(Wanted())
    assert node.run("systemctl is-active vosctl-firewall-watch.timer", check=False) in ("inactive", "unknown")
    # Back to it by a rollback, and away again by another.
    assert node.ask("rollback")["op"] == "rolled-back"
    assert node.run("systemctl is-active vosctl-firewall-watch.timer") == "active"
    assert node.ask("rollback")["op"] == "rolled-back"
    assert node.run("systemctl is-active vosctl-firewall-watch.timer", check=False) in ("inactive", "unknown")
