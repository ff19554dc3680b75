"""The job of the push benches: a site of N nodes, and the very bytes it compiles to as three files for other tools.

Every node gets a packet filter of about 300 rules (and as many for IPv6), 30 and more kernel settings and a relay's
configuration. Other tools get the filter as one script that loads the same sets, rules and hooks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from vosctl.compile.desired import Desired
from vosctl.compile.site import compile_site
from vosctl.site.read import SiteOptions, read_site

RELAY = "/etc/voice/relay.json"
FILTER = "/etc/voice/filter.sh"
SYSCTL = "/etc/sysctl.d/90-voice.conf"
# What loads each file after it changed; settings of the whole machine do not exist in a namespace.
LOAD = {FILTER: f"sh {FILTER}", SYSCTL: f"sysctl -e -q -p {SYSCTL} || true", RELAY: "true"}
# Takes everything away again that a tool of this bench put on a host.
RESET = (
    "rm -rf /etc/vosctl /var/lib/vosctl /run/vosctl /etc/voice /etc/sysctl.d/90-vo* /root/.ansible"
    "; rm -f /etc/systemd/system/vosctl-* /etc/modules-load.d/vosctl.conf; rm -rf /etc/systemd/system/*.d/50-vosctl*"
    "; for six in '' 6; do for t in raw mangle nat filter; do ip${six}tables -t $t -F 2>/dev/null"
    "; ip${six}tables -t $t -X 2>/dev/null; done; done; ipset destroy; mkdir -p /etc/voice"
)

_SIGNATURES = 36
_GATEWAYS = 40
FEWEST_RULES, _MOST_RULES = 250, 320
_SETTINGS = (
    *((f"net.ipv4.conf.all.{key}", 0) for key in ("accept_redirects", "send_redirects", "accept_source_route", "log_martians")),
    *((f"net.ipv4.conf.default.{key}", 0) for key in ("accept_redirects", "send_redirects", "accept_source_route", "log_martians")),
    ("net.ipv4.tcp_keepalive_time", 600), ("net.ipv4.tcp_keepalive_intvl", 30), ("net.ipv4.tcp_keepalive_probes", 5),
    ("net.ipv4.tcp_fin_timeout", 30), ("net.ipv4.tcp_syncookies", 1), ("net.ipv4.tcp_synack_retries", 3),
    ("net.ipv4.icmp_echo_ignore_broadcasts", 1), ("net.ipv4.ip_default_ttl", 64),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Host:
    """A node: its name and its address."""

    name: str
    address: str


def hosts(count: int) -> list[Host]:
    """Return so many hosts in the fleet's network."""
    return [Host(f"node-{at:03}", f"10.231.{at // 200}.{at % 200 + 2}") for at in range(count)]


def write(folder: Path, nodes: list[Host], *, version: int = 0) -> Path:
    """Write the site and return its playbook; another ``version`` differs in one rule of the filter."""
    (folder / "inventory/group_vars").mkdir(parents=True, exist_ok=True)
    (folder / "playbooks").mkdir(exist_ok=True)
    playbook = folder / "playbooks/site.yml"
    playbook.write_text("- name: all\n  hosts: all\n", encoding="ascii")
    lines = "".join(f"    {node.name}: {{host: {node.address}}}\n" for node in nodes)
    (folder / "inventory/hosts.yml").write_text(f"all:\n  hosts:\n{lines}", encoding="ascii")
    words = [f"scanner-{at:03}" for at in range(_SIGNATURES)]
    words[7] = f"scanner-of-version-{version}"
    text = (
        "demo: true\nuser: root\nmedia: {calls: 500}\nrelay: {enabled: false}\n"
        f"files:\n  {RELAY}: {{source: relay.json}}\n"
        "firewall:\n  admin: [10.231.255.0/24]\n  management: {ssh: [22]}\n  signatures:\n    add:\n"
        + "".join(f"      - {{text: {word}, source: bench}}\n" for word in words)
        + "sysctl:\n"
        + "".join(f"  {key}: {value}\n" for key, value in _SETTINGS)
        + "gateways:\n"
        + "".join(
            f"  gw-{at:02}: {{type: mapping, auth: ip, addresses: [198.18.{at}.10], tier: small, codecs: [PCMA]}}\n"
            for at in range(_GATEWAYS)
        )
        # With strangers to tell apart, the filter has its signatures.
        + '  roaming: {type: mapping, auth: password, username: roaming, password: "Zr77kTq8vB2m", '
        "tier: small, codecs: [PCMA]}\n"
    )
    (folder / "inventory/group_vars/all.yml").write_text(text, encoding="ascii")
    (folder / "relay.json").write_text(_relay(), encoding="ascii")
    return playbook


def _relay() -> str:
    """Return a relay's configuration of some kilobytes: one object a gateway."""
    gateways = {
        f"gw-{at:02}": {"type": "mapping", "networks": [f"198.18.{at}.10/32"], "codecs": ["PCMA"], "ptime": 20,
                        "limits": {"cps": 5, "concurrent": 100, "duration": 7200}}
        for at in range(_GATEWAYS)
    }  # fmt: skip
    return json.dumps({"version": 1, "ports": [16384, 32767], "gateways": gateways}, indent=1) + "\n"


def desired(playbook: Path) -> Desired:
    """Return what the first node should be; raises where the job is not of the size that it claims."""
    site, problems = read_site(SiteOptions(playbook=playbook))
    problems.raise_errors()
    found = next(iter(compile_site(site, release=None).values()))
    rules = next(each.text.count("\n-A ") for each in found.rulesets if each.family == 4)
    if not (FEWEST_RULES <= rules <= _MOST_RULES and 25 <= len(found.sysctls) <= 40):
        raise RuntimeError(f"the job has {rules} rules and {len(found.sysctls)} settings")
    return found


def files(node: Desired) -> dict[str, str]:
    """Return the three files of other tools by path: the same bytes, the filter's parts joined by what loads them."""
    content = {file.path: file.content.decode() for file in node.files}
    script = "#!/bin/sh\nset -e\n" + _here("ipset -exist restore", content["/etc/vosctl/firewall/sets"])
    for each in node.rulesets:
        tool = "iptables" if each.family == 4 else "ip6tables"
        script += _here(f"{tool}-restore --noflush -w", each.text)
        for hook in each.hooks:
            place = f"{hook.parent} -j {hook.chain}"
            script += (
                f"{tool} -w -t {hook.table} -C {place} 2>/dev/null || {tool} -w -t {hook.table} -I {place}\n"
            )
    return {FILTER: script, SYSCTL: content["/etc/sysctl.d/90-vosctl.conf"], RELAY: content[RELAY]}


def _here(command: str, text: str) -> str:
    return f"{command} <<'END-OF-PART'\n{text}END-OF-PART\n"
