"""Two network namespaces, one the node with compiled rules, one the world: packets go from here to there."""

from __future__ import annotations

import ctypes
import itertools
import os
import re
import shlex
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

WORLD4, WORLD6 = "10.231.0.1", "fd00:231::1"
NODE4, NODE6 = "10.231.0.2", "fd00:231::2"
PEER = {4: "192.0.2.50", 6: "2001:db8:77::50"}
ADMIN = {4: "198.51.100.5", 6: "2001:db8:ad::5"}
NODE = {4: NODE4, 6: NODE6}
_LABS = itertools.count()
_CLONE_NEWNET = 0x40000000
_FREEBIND = {4: (socket.IPPROTO_IP, 15), 6: (socket.IPPROTO_IPV6, 78)}
_MARKER = b"SIP/2.0 299 end of test %d\r\n"
_COUNTED = re.compile(r'^\[(\d+):\d+\] -A (\S+) .*--comment "([^"]*)"', re.MULTILINE)


def run(*words, data=None, check=True):
    done = subprocess.run(words, input=data, capture_output=True, text=True, timeout=60, check=False)
    assert not check or done.returncode == 0, f"{shlex.join(words)}: {done.stderr}"
    return done


@contextmanager
def inside(namespace):
    """Move this thread into the namespace: a socket that is made there stays there."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as home, Path("/run/netns", namespace).open() as there:
        assert libc.setns(there.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert libc.setns(home.fileno(), _CLONE_NEWNET) == 0


class Lab:
    """``node`` runs the rules of one backend (``nft`` or ``legacy``); ``world`` has every other address."""

    def __init__(self, backend):
        tag = f"vosfw{os.getpid()}-{next(_LABS)}"
        self.backend, self.node, self.world = backend, f"{tag}n", f"{tag}w"
        self._markers = self._neighbourhoods = 0
        self._loaded = None
        self._open = []

    def start(self):
        for name in (self.node, self.world):
            run("ip", "netns", "add", name)
        run(
            "ip",
            "-n",
            self.world,
            "link",
            "add",
            "wire",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            self.node,
        )
        for name, link in ((self.node, "eth0"), (self.world, "wire")):
            run("ip", "-n", name, "link", "set", "lo", "up")
            run("ip", "-n", name, "link", "set", link, "up")
        for name, link, address in (
            (self.node, "eth0", f"{NODE4}/24"), (self.node, "eth0", f"{NODE6}/64"),
            (self.world, "wire", f"{WORLD4}/24"), (self.world, "wire", f"{WORLD6}/64"),
        ):  # fmt: skip
            nodad = ("nodad",) if ":" in address else ()
            run("ip", "-n", name, "address", "add", address, "dev", link, *nodad)
        run("ip", "-n", self.node, "route", "add", "default", "via", WORLD4)
        run("ip", "-n", self.node, "route", "add", "default", "via", WORLD6)
        for prefix in ("192.0.2.0/24", "203.0.113.0/24", "198.51.100.0/24", "198.18.0.0/15", "2001:db8::/32"):
            run("ip", "-n", self.world, "route", "add", "local", prefix, "dev", "lo")
        return self

    def stop(self):
        self.close()
        for name in (self.node, self.world):
            run("ip", "netns", "delete", name, check=False)

    def close(self):
        while self._open:
            self._open.pop().close()

    def tool(self, name):
        command, dash, rest = name.partition("-")
        return f"{command}-{self.backend}{dash}{rest}"

    def in_node(self, *words, data=None, check=True):
        return run("ip", "netns", "exec", self.node, *words, data=data, check=check)

    def wipe(self):
        """Take every rule and set away."""
        for command in ("iptables", "ip6tables"):
            tables = "".join(f"*{name}\nCOMMIT\n" for name in ("raw", "mangle", "filter"))
            self.in_node(self.tool(f"{command}-restore"), data=tables)
        self.in_node("ipset", "destroy")
        self._loaded = None

    def use(self, desired):
        """Have the node run exactly these rules; nothing to do if it already does."""
        if self._loaded is not desired:
            self.wipe()
            self.load(desired)
            self._loaded = desired

    def load(self, desired):
        """Load a node's compiled filter as its boot unit does, in place of what was there."""
        self._loaded = None
        sets = next(file.content for file in desired.files if file.path.endswith("/firewall/sets"))
        self.in_node("ipset", "-exist", "restore", data=sets.decode())
        for ruleset in desired.rulesets:
            command = "iptables" if ruleset.family == 4 else "ip6tables"
            self.in_node(self.tool(f"{command}-restore"), "--noflush", data=ruleset.text)
            for hook in ruleset.hooks:
                rule = ("-t", hook.table, "-C", hook.parent, "-j", hook.chain)
                if self.in_node(self.tool(command), *rule, check=False).returncode:
                    rule = ("-t", hook.table, "-I", hook.parent, "1", "-j", hook.chain)
                    self.in_node(self.tool(command), *rule)

    def saved(self, family):
        command = "iptables-save" if family == 4 else "ip6tables-save"
        return self.in_node(self.tool(command), "-c").stdout

    def counters(self, family):
        """Return packets by (chain, comment)."""
        found = {}
        for packets, chain, comment in _COUNTED.findall(self.saved(family)):
            found[chain, comment] = found.get((chain, comment), 0) + int(packets)
        return found

    def socket(self, namespace, family, kind):
        """Return a socket of the namespace; it may bind addresses that no interface has."""
        with inside(namespace):
            made = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, kind)
        self._open.append(made)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(*_FREEBIND[family], 1)
        made.settimeout(5)
        return made

    def udp(self, namespace, family, address="", port=0):
        made = self.socket(namespace, family, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        made.bind((address, port))
        return made

    def strangers(self, family, count=1):
        """Return addresses of a /24 (v6: /64) that no test has used: budgets start full."""
        self._neighbourhoods += 1
        network = (
            f"198.{19 - self._neighbourhoods // 256}.{self._neighbourhoods % 256}."
            if family == 4
            else f"2001:db8:1:{self._neighbourhoods:x}::"
        )
        return [f"{network}{host}" for host in range(1, count + 1)]

    def send(self, family, payload, source=None, port=5060, source_port=0):
        """Send from ``source``, else from a stranger never seen before; return the socket."""
        sender = self.udp(self.world, family, source or self.strangers(family)[0], source_port)
        sender.sendto(payload, (NODE[family], port))
        return sender

    def raw(self, packets, family):
        """Put whole IP packets on the wire, whatever source address they claim."""
        with inside(self.world):
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        towards = ("wire", 0x0800 if family == 4 else 0x86DD, 0, 0, self.node_mac())
        with wire:
            for packet in packets:
                wire.sendto(packet, towards)

    def node_mac(self):
        if not hasattr(self, "_mac"):
            text = run("ip", "-n", self.node, "-br", "link", "show", "eth0").stdout.split()[2]
            self._mac = bytes.fromhex(text.replace(":", ""))
        return self._mac

    def listener(self, family, port=5060):
        return self.udp(self.node, family, "", port)

    def delivered(self, family, listener):
        """Return what reached the listener so far: a marker from a trusted peer ends the waiting."""
        self._markers += 1
        marker = _MARKER % self._markers
        self.send(family, marker, PEER[family], port=listener.getsockname()[1])
        found = []
        while (payload := listener.recv(65536)) != marker:
            found.append(payload)
        return found

    def tcp_listener(self, family, port):
        made = self.socket(self.node, family, socket.SOCK_STREAM)
        made.bind(("", port))
        made.listen(100)
        return made

    def connects(self, family, source, port, *, timeout=5):
        """Return whether a TCP connection from ``source`` is accepted, or refused by the stack behind the filter."""
        made = self.socket(self.world, family, socket.SOCK_STREAM)
        made.settimeout(timeout)
        made.bind((source, 0))
        try:
            made.connect((NODE[family], port))
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            return False
        return True

    def shuts_out(self, family, source, port):
        """Return whether the filter drops a TCP connection from ``source``."""
        return not self.connects(family, source, port, timeout=0.2)

    def reaches(self, family, port, payload, source=None):
        """Return whether a datagram gets to a program that listens on the port."""
        listener = self.listener(family, port)
        self.send(family, payload, source, port=port)
        return listener.recv(65536) == payload

    def misses(self, family, port, payload, source=None):
        """Return whether a datagram does not: what is sent after it has arrived, it has not."""
        listener = self.listener(family, port)
        self.send(family, payload, source, port=port)
        self.delivered(family, self.listener(family))
        listener.setblocking(False)
        try:
            return listener.recv(65536) is None
        except BlockingIOError:
            return True
