"""A node with Kamailio between its peers and the internet: what reaches its SIP port is counted behind the filter.

Three namespaces. ``peers`` holds three gateways that call without pause, the gateway that they call, and a device
that registers with a password; ``world`` holds whoever attacks, on an interface of its own, so that a packet is an
attacker's by where it came in, whatever address it claims.
"""

from __future__ import annotations

import csv
import ctypes
import os
import re
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from packet_lab import run

NODE = {4: "10.232.1.2", 6: "fd00:232:1::2"}
TO_PEERS, TO_WORLD = "10.232.0.1", "10.232.1.1"
KAMAILIO = "10.232.0.2"
PEERS = ("192.0.2.50", "192.0.2.51", "192.0.2.52")
CALLEE = "192.0.2.200"
DEVICE = "203.0.113.77"
CALLS_A_SECOND = 20
_CONTROL = 8900
_CLONE_NEWNET = 0x40000000
_FREEBIND = {4: (socket.IPPROTO_IP, 15), 6: (socket.IPPROTO_IPV6, 78)}
_COUNT = re.compile(r"^\[(\d+):\d+\] -A (?:PREROUTING|INPUT) -i eth1 ", re.MULTILINE)

# One worker a socket: two would now and then send a 200 before its 180, which sipp takes for an error.
CONFIG = f"""
children=1
tcp_children=2
log_stderror=yes
debug=0
auto_aliases=no
listen=udp:{KAMAILIO}:5060
listen=udp:{NODE[4]}:5060
listen=udp:[{NODE[6]}]:5060
listen=tcp:{NODE[4]}:5060
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "auth.so"
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (src_ip == 192.0.2.0/24 && is_method("INVITE|ACK|BYE|CANCEL")) {{
        $du = "sip:{CALLEE}:5060";
        t_relay();
        exit;
    }}
    if (is_method("ACK")) exit;
    if (!pv_www_authenticate("lab", "Zr77kTq8vB2m", "0")) {{ www_challenge("lab", "0"); exit; }}
    sl_send_reply("200", "OK");
}}
"""
REGISTER = '<?xml version="1.0"?>\n<scenario name="device">\n{}\n</scenario>\n'
_SEND = """<send retrans="500"><![CDATA[

REGISTER sip:{node} SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
From: <sip:device@lab>;tag=[pid]r[call_number]
To: <sip:device@lab>
Call-ID: [call_id]
CSeq: {number} REGISTER
Contact: <sip:device@[local_ip]:[local_port]>
{more}Max-Forwards: 70
User-Agent: Yealink SIP-T46S 66.86.0.15
Content-Length: 0

]]></send>
"""
DEVICE_SCENARIO = REGISTER.format(
    _SEND.format(node=KAMAILIO, number=1, more="")
    + '<recv response="401" auth="true"/>\n'
    + _SEND.format(node=KAMAILIO, number=2, more="[authentication username=device password=Zr77kTq8vB2m]\n")
    + '<recv response="200"/>\n'
)


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


class AttackLab:
    """The three namespaces and what runs in them; ``close`` ends all of it."""

    def __init__(self, folder):
        tag = f"vosat{os.getpid()}"
        self.folder = folder
        self.node, self.peers, self.world = f"{tag}n", f"{tag}p", f"{tag}w"
        self.processes = []
        self._sockets = []
        self.runs = 0

    def start(self):
        for name in (self.node, self.peers, self.world):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        for far, link, near4, far4, v6 in (
            (self.peers, "eth0", KAMAILIO, TO_PEERS, "fd00:232:0::"),
            (self.world, "eth1", NODE[4], TO_WORLD, "fd00:232:1::"),
        ):
            run(
                "ip",
                "-n",
                self.node,
                "link",
                "add",
                link,
                "type",
                "veth",
                "peer",
                "name",
                "wire",
                "netns",
                far,
            )
            for name, device, host, last in ((self.node, link, near4, 2), (far, "wire", far4, 1)):
                run("ip", "-n", name, "address", "add", f"{host}/24", "dev", device)
                run("ip", "-n", name, "address", "add", f"{v6}{last}/64", "dev", device, "nodad")
                run("ip", "-n", name, "link", "set", device, "up")
            run("ip", "-n", far, "route", "add", "default", "via", near4)
        for key in ("all", "default", "eth0", "eth1"):
            run("ip", "netns", "exec", self.node, "sysctl", "-qw", f"net.ipv4.conf.{key}.rp_filter=0")
        run("ip", "-n", self.node, "route", "add", "default", "via", TO_WORLD)
        run("ip", "-n", self.node, "route", "add", "default", "via", "fd00:232:1::1")
        for prefix in ("192.0.2.0/24", "203.0.113.0/24"):
            run("ip", "-n", self.node, "route", "add", prefix, "via", TO_PEERS)
            run("ip", "-n", self.peers, "route", "add", "local", prefix, "dev", "lo")
        for prefix in ("192.0.2.0/24", "203.0.113.0/24", "198.18.0.0/15", "2001:db8::/32"):
            run("ip", "-n", self.world, "route", "add", "local", prefix, "dev", "lo")
        (self.folder / "kamailio.cfg").write_text(CONFIG)
        (self.folder / "device.xml").write_text(DEVICE_SCENARIO)
        self.spawn(self.node, "kamailio", "-f", "kamailio.cfg", "-DD", "-E", "-m", "64", "-Y", self.folder,
                   "-P", self.folder / "kamailio.pid", name="kamailio")  # fmt: skip
        self._until(lambda: ":5060 " in self.command(self.node, "ss", "-lun").stdout, "Kamailio listens")
        return self

    def close(self):
        for process in reversed(self.processes):
            self._end(process)
        self.hang_up()
        for name in (self.node, self.peers, self.world):
            run("ip", "netns", "delete", name, check=False)

    def _end(self, process):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(5)

    def _until(self, condition, what, seconds=15):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{self.logs()}"
            time.sleep(0.02)

    def logs(self):
        return "\n".join(
            f"== {p.name}\n{p.read_text(errors='replace')[-2000:]}" for p in self.folder.glob("*.log")
        )

    def spawn(self, space, *words, name):
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                ["nice", "-n", "-10", "nsenter", f"--net=/run/netns/{space}", *map(str, words)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def command(self, space, *words, data=None, seconds=20):
        """Run a program in a namespace to its end, or to the end of its time."""
        try:
            return subprocess.run(
                ["nsenter", f"--net=/run/netns/{space}", *map(str, words)], input=data, capture_output=True,
                text=True, errors="replace", timeout=seconds, check=False, cwd=self.folder,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return None

    def filter(self, load):
        """Take every rule and set away, have ``load`` bring others, count before and behind them."""
        for tool in ("iptables-nft-restore", "ip6tables-nft-restore"):
            self.must(
                "nsenter",
                tool,
                data="".join(f"*{t}\nCOMMIT\n" for t in ("raw", "mangle", "security", "filter")),
            )
        self.command(self.node, "ipset", "destroy")
        load(self)
        for tool in ("iptables-nft", "ip6tables-nft"):
            for table, chain in (("raw", "PREROUTING"), ("security", "INPUT")):
                for protocol in ("udp", "tcp"):
                    self.must("nsenter", tool, "-t", table, "-I", chain, "1", "-i", "eth1", "-p", protocol, "-m", protocol,
                              "--dport", "5060")  # fmt: skip
        self.command(self.node, "conntrack", "-F")

    def must(self, _how, *words, data=None):
        done = self.command(self.node, *words, data=data)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def counted(self):
        """Return how many attackers' packets for the SIP port came to the node, and how many passed its filter."""
        found = []
        for table in ("raw", "security"):
            saves = [
                self.must("nsenter", f"{tool}-nft-save", "-c", "-t", table)
                for tool in ("iptables", "ip6tables")
            ]
            found.append(sum(int(count) for save in saves for count in _COUNT.findall(save)))
        return tuple(found)

    @contextmanager
    def genuine(self, *, device):
        """Let the peers call meanwhile, and the device register; gives a dict that is filled when they have ended."""
        self.runs += 1
        told = {}
        callee = self.spawn(
            self.peers, "sipp", "-sn", "uas", "-i", CALLEE, "-p", 5060, "-nostdin", name="callee"
        )
        self._until(
            lambda: f"{CALLEE}:5060" in self.command(self.peers, "ss", "-lun").stdout, "the callee listens"
        )
        common = ("-nostdin", "-trace_stat", "-trace_err", "-fd", 1)
        sides = {}
        for at, peer in enumerate(PEERS):
            name = f"peer{at}-{self.runs}"
            sides[name] = self.spawn(
                self.peers, "sipp", "-sn", "uac", "-i", peer, "-p", 5060, "-d", 300, "-r", CALLS_A_SECOND, "-rp", 1000 * len(PEERS),
                *common, "-stf", f"{name}.csv", "-cp", _CONTROL + at, "-recv_timeout", 9000, KAMAILIO, name=name,
            )  # fmt: skip
        registers = f"device-{self.runs}"
        if device:
            sides[registers] = self.spawn(
                self.peers, "sipp", "-sf", "device.xml", "-i", DEVICE, "-p", 5062, "-r", 1, "-rp", 2000, "-s", "device", *common,
                "-stf", f"{registers}.csv", "-cp", _CONTROL + 9, "-recv_timeout", 4000, KAMAILIO, name=registers,
            )  # fmt: skip
        time.sleep(1)
        try:
            yield told
        finally:
            found = self._finish(sides)
            self._end(callee)
        calls = [found[name] for name in sides if name.startswith("peer")]
        told.update({key: sum(call[key] for call in calls) for key in calls[0]})
        if device:
            told["registered"], told["unregistered"] = (
                self._statistics(registers)[key] for key in ("good", "lost")
            )

    def _finish(self, sides):
        """Have sipp begin no new calls, wait until those under way are over, and end it."""
        for _ in range(16):
            with inside(self.peers), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                for at in (*range(len(PEERS)), 9):
                    control.sendto(b"cset rate 0\n", ("127.0.0.1", _CONTROL + at))
            time.sleep(0.5)
            found = {name: self._statistics(name) for name in sides}
            if not any(each["under way"] for each in found.values()):
                break
        for side in sides.values():
            self._end(side)
        return found

    def _statistics(self, name):
        rows = list(csv.DictReader((self.folder / f"{name}.csv").read_text().splitlines(), delimiter=";"))
        last = rows[-1]
        return {
            "good": int(last["SuccessfulCall(C)"]),
            "lost": int(last["FailedCall(C)"]),
            "again": int(last["Retransmissions(C)"]),
            "under way": int(last["CurrentCall"]),
        }

    def socket(self, family, kind, source="", port=0):
        """Return an attacker's socket with this source address, whosever that is."""
        with inside(self.world):
            made = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, kind)
        made.setsockopt(*_FREEBIND[family], 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((source, port))
        made.settimeout(2)
        self._sockets.append(made)
        return made

    def hang_up(self):
        while self._sockets:
            self._sockets.pop().close()
