"""The demo without privileges: nodes are directories, relays answer on loopback addresses."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vosctl.demo.ground import LocalGround
from vosctl.demo.stage import Stage, copy_site, program, undisturbed
from vosctl.fleet import kernel
from vosctl.fleet.state import Process, descendants, kill_all

NODES = {"edge-a": "127.0.0.2", "edge-b": "127.0.0.3"}
OTHERS = {"wire": "127.0.0.4", "customer": "127.0.0.10", "vendor": "127.0.0.11", "attacker": "127.0.0.12"}
NG_PORT = 2223
_RELAY = "opt/vosctl/current/bin/vosctl-relay"
_STOP_SECONDS = 20


@contextmanager
def stage(directory: Path) -> Iterator[Stage]:
    """Set up the example site with its nodes as directories below ``directory``; stop their relays at the end."""
    nodes = directory / "nodes"
    stop_relays(nodes)
    site = copy_site(directory / "site")
    settle(site, nodes, NODES)
    with ending_all():
        yield Stage(LocalGround(nodes, NODES | OTHERS), site, (program(),))


def settle(site: Path, nodes: Path, addresses: Mapping[str, str]) -> None:
    """Make each node of a copy of the example site a folder below ``nodes``, its relay at a loopback address."""
    for name, address in addresses.items():
        root = nodes / name
        root.mkdir(parents=True)
        variables = {
            "connection": "local",
            "host": address,
            "root": str(root),
            "relay": {"addresses": [address], "ng": f"{address}:{NG_PORT}"},
        }
        # A node's folder is read after its file, so this wins; JSON is YAML.
        folder = site / "inventory" / "host_vars" / name
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(variables, indent=2)
        (folder / "zz-here.yml").write_text(text + "\n", encoding="utf-8")


@contextmanager
def ending_all() -> Iterator[None]:
    """End, after it, whatever began below this process meanwhile: relays, and the agents of an apply that was cut off.

    What ran before goes on. Until then, orphans become children of this process, so that none is missed.
    """
    before = set(descendants(os.getpid()))
    kernel.adopt_orphans()
    try:
        yield
    finally:
        with undisturbed():
            try:
                while begun := [process for process in descendants(os.getpid()) if process not in before]:
                    kill_all(begun)
            finally:
                kernel.adopt_orphans(adopt=False)


def stop_relays(nodes: Path) -> None:
    """End what a killed demo left running for the nodes below ``nodes``."""
    for name in NODES:
        relay = nodes / name / _RELAY
        if relay.exists():
            subprocess.run(
                (str(relay), "stop", "--root", str(nodes / name)),
                check=False, capture_output=True, timeout=_STOP_SECONDS,
            )  # fmt: skip
        kill_all(_at_work_in(nodes / name))


def _at_work_in(root: Path) -> Iterator[Process]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            if str(root).encode() in arguments:
                yield Process.of(int(entry.name))
        except OSError:  # gone already, or another user's
            continue
