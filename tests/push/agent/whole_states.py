"""Two states of a node that differ in something of every kind: release, users, files, sets, rules, settings, daemons."""

from __future__ import annotations

import hashlib

from agent_client import Frame
from test_agent_release import pack

from vosctl.compile.desired import Desired, File, Hook, IpSet, Release, Ruleset, Service, Sysctl, User
from vosctl.plan.make import make_plan
from vosctl.plan.observed import parse
from vosctl.push import wire

HOOKS = (Hook("filter", "INPUT", "VOS-INPUT"),)
ADMIN = "10.231.0.0/16"


class Compiled:
    """A wanted state as the compiler makes it; ``Machine.apply`` takes it."""

    def __init__(self, desired: Desired) -> None:
        self.desired = desired

    def frame(self) -> Frame:
        return wire.wanted(self.desired, revision="abc123")

    def items(self, observed: Frame) -> Frame:
        return wire.items(self.desired, parse(observed))

    def left(self, observed: Frame) -> list[str]:
        """What ``vosctl plan`` would say that is to be done."""
        return [
            f"{change.kind.value} {change.name}"
            for change in make_plan(self.desired, parse(observed)).changes
        ]


def rules(*lines: str, family: int = 4) -> Ruleset:
    text = "".join(f"-A VOS-INPUT {line}\n" for line in lines)
    return Ruleset(family, f"*filter\n:VOS-INPUT - [0:0]\n{text}COMMIT\n", HOOKS)


def ipset(name: str, *members: str, kind: str = "hash:net") -> IpSet:
    return IpSet(name, kind, 4, tuple(sorted(members)), 65536)


def daemon(name: str, state: str) -> Service:
    return Service(name, state, supervise=(f"/opt/daemon/{name}-d", "supervise"), pidfile=f"/run/{name}.pid")


def release(version: str) -> Release:
    archive = pack(("VERSION", version.encode(), 0o644), ("bin/x", version.encode(), 0o755))
    return Release(version, hashlib.sha256(archive).hexdigest(), archive)


def user(name: str, uid: int, *groups: str, present: bool = True, shell: str = "/bin/sh") -> User:
    return User(name, present, uid, groups, shell, f"/home/{name}", keys=False)


SSH = "-p tcp -m tcp --dport 22 -m set --match-set vos-admin src -j ACCEPT"
NO_SSH = "-p tcp -m tcp --dport 22 -j DROP"
OLD = Compiled(Desired(
    node="n", packages=(), release=release("1"),
    files=(
        File("/etc/voice/daemon.json", b'{"v": 1}', reload="daemon"), File("/etc/voice/gone", b"g"),
        File("/etc/voice/second.json", b'{"s": 1}'), File("/etc/voice/secret", b"s", 0o600, secret=True),
    ),
    sets=(
        ipset("vos-admin", ADMIN), ipset("vos-a", "198.51.100.0/24"), ipset("vos-c", "203.0.113.0/24"),
        ipset("vos-many", *(f"198.18.{i}.0/24" for i in range(100))),
    ),
    rulesets=(
        rules(SSH, NO_SSH, "-p udp -m set --match-set vos-a src -j ACCEPT", "-p udp -m set --match-set vos-many src -j DROP"),
        rules("-p udp -m udp --dport 5060 -j DROP", family=6),
    ),
    sysctls=(Sysctl("net.ipv4.tcp_keepalive_time", "600"), Sysctl("net.ipv4.tcp_fin_timeout", "40")),
    services=(daemon("daemon", "running"), daemon("second", "stopped")),
    users=(user("voxold", 4711, "adm"), user("voxgone", 4712, "tty"), user("voxnew", 4713, present=False)),
))  # fmt: skip
NEW = Compiled(Desired(
    node="n", packages=(), release=release("2"),
    files=(
        File("/etc/voice/daemon.json", b'{"v": 2}', reload="daemon"), File("/var/lib/voice/new/er", b"n", 0o640),
        File("/etc/voice/second.json", b'{"s": 1}'), File("/etc/voice/secret", b"s", 0o640, secret=True),
    ),
    sets=(
        ipset("vos-admin", ADMIN, "192.0.2.0/24"), ipset("vos-a", "198.51.100.0/24,udp:5060", kind="hash:net,port"),
        ipset("vos-b", "203.0.113.0/24"), ipset("vos-many", *(f"198.19.{i}.0/24" for i in range(100))),
    ),
    rulesets=(
        rules(SSH, NO_SSH, "-p udp -m set --match-set vos-a src,dst -j ACCEPT", "-p udp -m set --match-set vos-many src -j DROP",
              "-p udp -m set --match-set vos-b src -j ACCEPT"),
        rules("-p udp -m udp --dport 5061 -j DROP", family=6),
    ),
    sysctls=(Sysctl("net.ipv4.tcp_keepalive_time", "700"), Sysctl("net.ipv4.tcp_fin_timeout", "40"), Sysctl("net.ipv4.ip_forward", "1")),
    services=(daemon("daemon", "running"), daemon("second", "running")),
    users=(
        user("voxold", 4711, "adm", "tty", shell="/bin/bash"), user("voxgone", 4712, present=False),
        user("voxnew", 4713, "adm"),
    ),
))  # fmt: skip
