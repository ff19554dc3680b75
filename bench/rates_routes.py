"""Compiling route tables: 50 customers' groups and 20 vendors, each with a rate of its own for all 316,000 prefixes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from bench.rates_prefixes import prefixes
from vosctl.rates.lookup.keys import pack
from vosctl.rates.routing.reader import RATE
from vosctl.rates.routing.terms import PackedRows
from vosctl.site.decks import Deck, Rates
from vosctl.site.model import Site
from vosctl.site.tree import Mark

NAMES = ("rates-routes", "rates-routes-incremental")

_GROUPS, _VENDORS = 50, 20
_TARGETS = {"rates-routes": 60.0, "rates-routes-incremental": 5.0}
_MOST_MEMORY = 4096.0
_MARK = Mark("bench", 1, 1)
_ROW = np.dtype(
    [("rate", "<i8"), ("first", "<i8"), ("connect", "<i8"), ("minimum", "<i8"), ("cycle", "<i4"),
     ("first_seconds", "<i4"), ("grace", "<i4"), ("free", "<i4"), ("currency", "<u2"), ("flags", "<u2"),
     ("spare", "<u4")]
)  # fmt: skip
_SITE = """
all:
  hosts:
    edge: {host: 192.0.2.1}
"""


def run(name: str) -> list[dict[str, Any]]:
    """Return seconds, wall and CPU, and the memory at most, of a fresh process; decks are made before the clock starts."""
    done = subprocess.run(
        (sys.executable, "-m", "bench.rates_routes", name), check=True, capture_output=True, text=True
    )
    found = json.loads(done.stdout)
    shown = (
        f"{found['groups']} x {found['vendors']} x {found['prefixes']:,}, file {found['bytes'] / 1e6:.0f} MB"
    )
    figures = [
        ("", found["wall"], f"s, {shown}", _TARGETS[name]),
        ("-cpu", found["cpu"], "s CPU", _TARGETS[name]),
        ("-memory", found["peak"], "MB at most", _MOST_MEMORY),
    ]
    return [
        {"name": f"{name}{suffix}", "figure": round(figure, 2), "unit": unit, "peer": "target", "peer_figure": target,
         "command": f"make bench ONLY={name}"}
        for suffix, figure, unit, target in figures
    ]  # fmt: skip


def site() -> Site:
    """Return a site of one node with the decks; each rate is drawn about its country's own."""
    from vosctl.site.read import SiteOptions, read_site  # noqa: PLC0415

    vendors = "\n".join(
        f"  vendor{at}: {{type: routing, addresses: [192.0.2.{at + 10}], tier: small, rate_group: deck{at}, "
        f'profit: {{lowest: "0.001", unit: minute, check_rate: true}}}}'
        for at in range(_VENDORS)
    )
    with tempfile.TemporaryDirectory(prefix="vosctl-bench-") as folder:
        inventory = Path(folder) / "inventory"
        (inventory / "group_vars").mkdir(parents=True)
        (inventory / "hosts.yml").write_text(_SITE, encoding="utf-8")
        decks = "\n".join(f"    deck{at}: {{rows: {{'1': {{rate: 1}}}}}}" for at in range(_VENDORS))
        text = f"firewall: {{enabled: false}}\nrates:\n  clearing:\n{decks}\ngateways:\n{vendors}\n"
        (inventory / "group_vars/all.yml").write_text(text, encoding="utf-8")
        found, problems = read_site(SiteOptions(inventory=(inventory,)))
        problems.raise_errors()
    keys = b"".join(map(pack, prefixes()))
    base = np.array([2_000_000 + 10_000 * (int(each[:2]) % 100) for each in prefixes()])
    draw = np.random.default_rng(7)
    clearing = {f"deck{at}": deck(f"deck{at}", keys, base, draw) for at in range(_VENDORS)}
    groups = {f"group{at}": deck(f"group{at}", keys, base + 200_000, draw) for at in range(_GROUPS)}
    rates = Rates("EUR", groups, clearing, {"USD": Decimal("0.92")})
    return replace(found, nodes={name: replace(node, rates=rates) for name, node in found.nodes.items()})


def deck(name: str, keys: bytes, base: Any, draw: Any) -> Deck:
    """Return a deck with a row for each key: the base rate and up to 0.004 on top or off, to four decimals."""
    rows = np.zeros(len(base), _ROW)
    assert rows.itemsize == RATE.size
    rows["rate"] = base + 10_000 * draw.integers(-40, 41, len(base))
    rows["cycle"] = 1
    return Deck(name, PackedRows(keys, rows.tobytes(), _MARK), _MARK)


def changed(made: Site) -> Site:
    """Return the site with another deck of one vendor: a hundredth of its rows at another rate."""
    ((name, node),) = made.nodes.items()
    old = node.rates.clearing["deck7"].rows
    assert isinstance(old, PackedRows)
    rows = np.frombuffer(old.records, _ROW).copy()
    rows["rate"][::100] += 30_000
    deck7 = Deck("deck7", PackedRows(old.keys_, rows.tobytes(), _MARK), _MARK)
    rates = replace(node.rates, clearing={**node.rates.clearing, "deck7": deck7})
    return replace(made, nodes={name: replace(node, rates=rates)})


def _child(name: str) -> None:
    import time  # noqa: PLC0415

    from vosctl.compile.site import compile_site  # noqa: PLC0415

    made = site()
    if name == "rates-routes-incremental":
        compile_site(made, release=None)
        made = changed(made)
    wall, cpu = time.perf_counter(), time.process_time()
    desired = compile_site(made, release=None)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    (content,) = (file.content for file in desired["edge"].files if file.path.endswith("routes.bin"))
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak, "bytes": len(content), "groups": _GROUPS,
                      "vendors": _VENDORS, "prefixes": len(prefixes())}))  # fmt: skip


if __name__ == "__main__":
    _child(sys.argv[1])
