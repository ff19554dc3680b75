"""Reading, checking and compiling a site of 1,000 gateways and 20 nodes, from YAML files to all bytes of all nodes."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

NAMES = ("compile-1000x20",)

_GATEWAYS, _NODES, _DECKS, _GROUPS, _PREFIXES = 1000, 20, 10, 5, 60
_TARGET_SECONDS = 5.0
_RUNS = 3

# A process of its own: nothing is warm, and what is measured is what a command line would wait for.
_MEASURED = """
import json, sys, time
from pathlib import Path
wall, cpu = time.perf_counter(), time.process_time()
from vosctl.compile.site import compile_site
from vosctl.site.read import SiteOptions, read_site
site, problems = read_site(SiteOptions(playbook=Path(sys.argv[1]) / "playbooks/site.yml"))
problems.raise_errors()
read = time.perf_counter()
desired = compile_site(site, release=None)
done = time.perf_counter()
print(json.dumps({
    "wall": done - wall, "cpu": time.process_time() - cpu, "read": read - wall, "compile": done - read,
    "nodes": len(desired), "gateways": min(len(node.gateways) for node in site.nodes.values()),
    "bytes": sum(len(file.content) for node in desired.values() for file in node.files),
}))
"""


def run(name: str) -> list[dict[str, Any]]:
    """Return median seconds of three fresh processes, wall and CPU; raises when the site is not what it claims to be."""
    with tempfile.TemporaryDirectory(prefix="vosctl-bench-") as folder:
        write_site(Path(folder))
        runs = [_measure(folder) for _ in range(_RUNS)]
    for each in runs:
        if (each["nodes"], each["gateways"]) != (_NODES, _GATEWAYS):
            raise RuntimeError(f"compiled {each['nodes']} nodes with {each['gateways']} gateways each")
    command = f"make bench ONLY={name}"
    return [
        {
            "name": f"{name}{suffix}",
            "figure": round(statistics.median(each[part] for each in runs), 3),
            "unit": unit,
            "peer": "target",
            "peer_figure": _TARGET_SECONDS,
            "command": command,
        }
        for suffix, part, unit in (("", "wall", "s"), ("-cpu", "cpu", "s CPU"))
    ]


def _measure(folder: str) -> dict[str, float]:
    command = (sys.executable, "-c", _MEASURED, folder)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise RuntimeError(done.stderr)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def write_site(folder: Path) -> None:
    """Write the site: every gateway on every node, a ring of encrypted trunks, decks that overlap."""
    generator = random.Random(1000)
    _write(folder, "playbooks/site.yml", "- name: all\n  hosts: all\n")
    hosts = "".join(f"    n{at:02}: {{host: 10.9.0.{at + 1}}}\n" for at in range(_NODES))
    _write(folder, "inventory/hosts.yml", f"all:\n  hosts:\n{hosts}")
    settings = (
        "demo: true\nmedia: {calls: 2000}\nfirewall:\n  admin: [10.9.255.0/24]\n  management: {ssh: [22]}\n"
    )
    _write(folder, "inventory/group_vars/all/main.yml", settings)
    _write(folder, "inventory/group_vars/all/trunks.yml", _trunks())
    _write(folder, "inventory/group_vars/all/rates.yml", _rates(generator))
    _write(folder, "inventory/group_vars/all/gateways.yml", _gateways(generator))


def _write(folder: Path, path: str, text: str) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text, encoding="utf-8")


def _trunks() -> str:
    lines, keys = ["trunks:"], ["keys:"]
    for at in range(_NODES):
        lines.append(
            f"  t{at:02}: {{ends: [n{at:02}, n{(at + 1) % _NODES:02}], encryption: aes128, key: k{at:02}}}"
        )
        keys.append(f'  k{at:02}: {{value: "Kq7{at:02}xZp4Rm9Tw2L"}}')
    return "\n".join((*lines, *keys, ""))


def _rates(generator: random.Random) -> str:
    prefixes = sorted({str(generator.randrange(20, 9999)) for _ in range(_PREFIXES * 2)})
    lines = ["rates:", "  currency: USD"]
    for kind, count, low in (("groups", _GROUPS, 200), ("clearing", _DECKS, 100)):
        lines.append(f"  {kind}:")
        for at in range(count):
            lines += [f"    {kind[0]}{at}:", "      rows:"]
            for prefix in sorted(generator.sample(prefixes, min(_PREFIXES, len(prefixes)))):
                price = generator.randrange(low, low * 4)
                lines.append(
                    f'        "{prefix}": {{rate: 0.{price:04}, cycle: {generator.choice((1, 6, 60))}}}'
                )
    return "\n".join((*lines, ""))


def _gateways(generator: random.Random) -> str:
    lines = ["gateways:"]
    for at in range(_GATEWAYS):
        vendor = at % 10 == 9
        lines.append(f"  g{at:04}:")
        lines.append(f"    type: {'routing' if vendor else 'mapping'}")
        lines.append(
            f"    rate_group: {'c' if vendor else 'g'}{generator.randrange(_DECKS if vendor else _GROUPS)}"
        )
        lines += _login(at)
        lines.append(f"    tier: {generator.choice(('small', 'medium', 'large', 'premium'))}")
        lines.append(
            f"    codecs: {generator.choice(('[PCMA, PCMU]', '[PCMA, G729]', '[PCMU, PCMA, G729]'))}"
        )
        lines.append(f"    media: {{jitter: {generator.choice(('lan', 'wan', 'internet', 'satellite'))}}}")
        if vendor:
            lines.append(
                f"    profit: {{lowest: 0.00{generator.randrange(9)}, unit: minute, check_rate: true}}"
            )
    return "\n".join((*lines, ""))


def _login(at: int) -> list[str]:
    address = f"    addresses: [203.{at // 250}.{at % 250}.10]"
    if at % 10 == 3:
        return [f"    auth: password\n    username: u{at}", f'    password: "Zr{at:04}kTq8vB2m"']
    if at % 10 == 5:
        return [address, "    auth: ip+port", f"    port: {5060 + at % 9}"]
    return [address]
