"""``vosctl diff`` of one change on a site of 1,000 gateways and 20 nodes, from two git revisions to what it prints."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.compile_site import write_site

NAMES = ("diff-1000x20",)

_TARGET_SECONDS = 4.0
_RUNS = 3
_GATEWAYS = "inventory/group_vars/all/gateways.yml"
_CHANGES = {
    "one-node": ("\nn03\n", "1 of 20 nodes changes", "media.calls"),
    "every-node": ("\nn00, n01, ", "20 of 20 nodes change", "gateway g0000: addresses"),
}


def run(name: str) -> list[dict[str, Any]]:
    """Return median seconds of three fresh processes for a change of one node, and of one gateway on all of them."""
    with tempfile.TemporaryDirectory(prefix="vosctl-bench-") as folder:
        site = Path(folder)
        write_site(site)
        _git(site, "init", "--quiet")
        _commit(site, "the site")
        (site / "inventory/host_vars").mkdir()
        (site / "inventory/host_vars/n03.yml").write_text("media: {calls: 3000}\n", encoding="utf-8")
        _commit(site, "one node")
        gateways = (site / _GATEWAYS).read_text(encoding="utf-8")
        changed = gateways.replace("addresses: [203.0.0.10]", "addresses: [203.9.0.10]", 1)
        (site / _GATEWAYS).write_text(changed, encoding="utf-8")
        _commit(site, "one gateway, on every node")
        spans = {"one-node": "HEAD~2..HEAD~1", "every-node": "HEAD~1..HEAD"}
        return [row for change, span in spans.items() for row in _rows(name, site, change, span)]


def _rows(name: str, site: Path, change: str, span: str) -> list[dict[str, Any]]:
    runs = [_measure(site, span, _CHANGES[change]) for _ in range(_RUNS)]
    return [
        {
            "name": f"{name}-{change}{suffix}",
            "figure": round(statistics.median(times[at] for times in runs), 3),
            "unit": unit,
            "peer": "target",
            "peer_figure": _TARGET_SECONDS,
            "command": f"make bench ONLY={name}",
        }
        for at, (suffix, unit) in enumerate((("", "s"), ("-cpu", "s CPU")))
    ]


def _measure(site: Path, span: str, said: tuple[str, ...]) -> tuple[float, float]:
    """Return wall and CPU seconds of one run; raises where it does not say what the change is."""
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = (Path(sys.executable).with_name("vosctl"), "diff", span, "playbooks/site.yml")
    done = subprocess.run(command, cwd=site, capture_output=True, text=True, check=False, timeout=120)
    wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode or not all(words in done.stdout for words in said):
        raise RuntimeError(f"{span} was told wrongly: {done.stdout[:2000]}{done.stderr[:2000]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _commit(site: Path, message: str) -> None:
    _git(site, "add", "--all")
    _git(
        site,
        "-c",
        "user.name=Bench",
        "-c",
        "user.email=bench@example.net",
        "commit",
        "--quiet",
        "-m",
        message,
    )


def _git(site: Path, *words: str) -> None:
    subprocess.run(("git", "-C", str(site), *words), check=True, capture_output=True)
