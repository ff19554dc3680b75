"""The first apply to a bare Debian: nothing but sshd and python3 there, no systemd, and then calls go through it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import bare_debian
import pytest

from vosctl.demo.stage import copy_site, program
from vosctl.fleet import Fleet, HostSpec

# Where no such system is kept yet, it is made first, which takes a minute.
pytestmark = [pytest.mark.netns, pytest.mark.requires("debootstrap"), pytest.mark.timeout(600)]

ADDRESS = "10.231.0.2"
# Two telephones that call one another through the node's relay, until a line comes; every packet must arrive as sent.
CALL = """
import sys, threading
sys.path.insert(0, "/opt/vosctl/current/lib")
sys.path.insert(0, "/run")
from relay_calls import Phone, _speak, g711
from vosctl.relay.ng import NgClient
with Phone() as caller, Phone() as callee, NgClient(("127.0.0.1", 2223)) as client:
    to_callee = client.offer("c", "f", caller.sdp())
    to_caller = client.answer("c", "f", "t", callee.sdp())
    sent = g711(50, seed=1), g711(50, seed=2)
    threads = [threading.Thread(target=_speak, args=(caller, sent[0], to_caller, 0.01)),
               threading.Thread(target=_speak, args=(callee, sent[1], to_callee, 0.01)),
               threading.Thread(target=callee.drain, args=(50,)), threading.Thread(target=caller.drain, args=(50,))]
    [each.start() for each in threads]
    [each.join() for each in threads]
    assert (callee.got, caller.got) == sent
    print("spoken", flush=True)
    sys.stdin.readline()
    print(client.delete("c", "f")["totals"]["RTP"]["packets"])
"""


class Bare:
    """The machine, and vosctl with the example site aimed at it, as an operator has both."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.root = bare_debian.unpack(folder)
        self.process = bare_debian.boot(fleet, "bare", self.root)
        self.site = copy_site(folder / "site")
        self._fleet = fleet
        self._known = folder / "known_hosts"
        self._known.write_text(bare_debian.known_host(self.root, ADDRESS))

    def vosctl(self, *words: str, code: int = 0) -> str:
        """Run vosctl for edge-a and return what it said, of its errors where ``code`` is one."""
        options = (
            "--private-key",
            str(self._fleet.private_key),
            "--known-hosts",
            str(self._known),
            "-l",
            "edge-a",
        )
        argv = self._fleet.controller_argv((program(), *words, *options))
        done = subprocess.run(argv, cwd=self.site, check=False, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def ssh_argv(self, script: str) -> list[str]:
        """Return the command line that runs a script on the machine, as root."""
        files = ("-i", str(self._fleet.private_key), "-o", f"UserKnownHostsFile={self._known}")
        return self._fleet.controller_argv(("ssh", "-F", "none", *files, f"root@{ADDRESS}", script))

    def ssh(self, script: str) -> str:
        """Run a script on the machine, and return what it said."""
        done = subprocess.run(self.ssh_argv(script), check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def wait(self) -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                self.ssh("true")
            except AssertionError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError((self.root.parent / "sshd.log").read_text())


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    hosts = (HostSpec("bare", ADDRESS, sshd=False),)
    folder = tmp_path_factory.mktemp("bare")
    with Fleet.up(hosts, tmp_path_factory.mktemp("fleet")) as fleet:
        found = Bare(fleet, folder)
        try:
            found.wait()
            yield found
        finally:
            found.process.kill()
            found.process.wait(10)


def test_a_bare_debian_becomes_a_node(bare: Bare) -> None:
    missing = bare.ssh("for each in iptables ipset conntrack cc gcc; do command -v $each; done; true")
    assert missing == "", "it is not as bare as it should be"
    planned = " ".join(bare.vosctl("plan", "playbooks/site.yml").split())
    assert "+ package iptables install" in planned
    assert "vosrelay" in planned

    applied = bare.vosctl("apply", "playbooks/site.yml")
    assert "edge-a : changed" in applied
    assert "-A INPUT -j VOS-INPUT" in bare.ssh("iptables-save")
    assert bare.ssh("stat -c %U:%G /run/vosctl-relay/control.sock").strip() == "vosrelay:vosrelay"
    assert bare.ssh("readlink /opt/vosctl/current").startswith("releases/")
    assert "edge-a : ok" in bare.vosctl("apply", "playbooks/site.yml")

    phones = (Path(__file__).parents[1] / "relay/relay_calls.py").read_bytes()
    bare.ssh(f"cat >/run/relay_calls.py <<'END'\n{phones.decode()}\nEND\n")
    bare.ssh(f"cat >/run/call.py <<'END'\n{CALL}\nEND\n")
    assert bare.ssh("python3 -B /run/call.py </dev/null").split() == ["spoken", "100"]


BY_HAND = "Qk7Zr2Vm9Xc4Tb8W"


def test_keys_are_changed_on_the_node_by_the_relay_s_own_user_alone(bare: Bare) -> None:
    """As somebody does who has only the node at hand: stage, activate, retire; another user is told whom to be."""

    def keys(words: str, user: str = "vosrelay") -> str:
        command = f"setpriv --reuid={user} --regid={user} --clear-groups vosctl-relay keys {words}"
        return bare.ssh(f"PATH=$PATH:/opt/vosctl/current/bin; {command} 2>&1; echo $?")

    before = json.loads(keys("").rpartition("}")[0] + "}")
    trunk, old = next((name, found["key"]) for name, found in before.items())
    assert keys(f"stage {trunk} by-hand <<< {BY_HAND}") == f"key by-hand staged on trunk {trunk}\n0\n"
    assert keys(f"activate {trunk} by-hand") == f"key by-hand activated on trunk {trunk}\n0\n"
    found = json.loads(keys("").rpartition("}")[0] + "}")[trunk]
    assert (found["key"], sorted(found["accept"])) == (
        "by-hand",
        sorted([*before[trunk]["accept"], "by-hand"]),
    )
    assert BY_HAND not in bare.ssh("cat /var/log/vosctl-relay/*.log 2>/dev/null; true")
    refused = keys("", "65534")
    assert refused.endswith("\n1\n"), refused
    assert "run it as root or as vosrelay" in refused, refused
    assert keys(f"activate {trunk} {old}").endswith("\n0\n")
    assert keys(f"retire {trunk} by-hand") == f"key by-hand retired on trunk {trunk}\n0\n"
    assert json.loads(keys("").rpartition("}")[0] + "}") == before


def test_it_is_drained_under_a_call_and_taken_back(bare: Bare) -> None:
    argv = bare.ssh_argv("python3 -B /run/call.py")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as call:
        assert call.stdin is not None
        assert call.stdout is not None
        assert call.stdout.readline() == "spoken\n"
        told = bare.vosctl("drain", "edge-a")
        assert told.startswith("edge-a: draining since 2")
        assert told.endswith(", 1 call left\n")
        assert "draining" in bare.vosctl("status")
        assert "1 calls still run after 1 s of draining" in bare.vosctl(
            "drain", "edge-a", "--for", "1", code=2
        )
        call.stdin.write("\n")
        call.stdin.flush()
        assert bare.vosctl("drain", "edge-a", "--wait") == "edge-a: drained, no call is left\n"
        assert call.stdout.readline() == "100\n"
        call.wait(10)
    assert bare.vosctl("drain", "edge-a", "--wait") == "edge-a: drained, no call is left\n"
    assert "drained" in bare.vosctl("status")
    assert bare.vosctl("drain", "edge-a", "--undo") == "edge-a: takes new calls, 0 calls now\n"
    assert "drained" not in bare.vosctl("status")


def test_what_the_first_apply_brought_goes_again(bare: Bare) -> None:
    assert "edge-a : rolled_back" in bare.vosctl("rollback")
    assert "VOS-" not in bare.ssh("iptables-save")
    assert (
        bare.ssh("ls /etc/vosctl /opt/vosctl/current 2>&1; pgrep -f vosctl-relay; true").count("No such file")
        == 2
    )
    # Packages and the account stay: files and processes may be theirs.
    assert bare.ssh("getent passwd vosrelay >&2; command -v ipset").strip().endswith("ipset")
