"""What ``vosctl demo`` does: run the whole story, or keep hosts up to work with."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from vosctl.demo import hosts, local, story
from vosctl.demo.screen import Screen
from vosctl.demo.stage import alone, interruptible, program, undisturbed
from vosctl.errors import UsageError, VosctlError
from vosctl.fleet import Fleet, missing
from vosctl.fleet.fleet import clean

MOST_HOSTS = 200
CONTROLLER = "controller"


def default_directory(environment: Mapping[str, str]) -> Path:
    """Return where the demo keeps its state: below XDG_RUNTIME_DIR, else /run for root, else /tmp."""
    runtime = environment.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime, "vosctl-demo")
    user = os.geteuid()
    return Path("/run/vosctl-demo") if user == 0 else Path(f"/tmp/vosctl-demo-{user}")  # noqa: S108  ours alone: 0700


def run(console: Console, directory: Path, *, without_privileges: bool = False) -> int:
    """Tell the whole story on hosts of this machine and remove them; return 0.

    Where namespaces cannot be made (or with ``without_privileges``) the nodes are directories. Raises
    VosctlError where a step did not show what it should; KeyboardInterrupt after Ctrl-C, when all is clean.
    """
    screen = Screen(console)
    screen.title("vosctl demo", "two nodes, a call across them, a scanner, on this machine alone")
    reason = "asked to run without privileges" if without_privileges else missing()
    with interruptible(), alone(directory):
        work = directory / "run"
        _clear(work)
        work.mkdir(mode=0o700)
        try:
            if reason:
                screen.note(f"{reason}: the nodes are directories, the relays on 127.0.0.2 and 127.0.0.3;")
                screen.note("the call is real, the firewall is compiled but not loaded")
            _tell(screen, work, in_namespaces=not reason)
        finally:
            with undisturbed():
                _clear(work)
    screen.end("All of it held, and all of it is gone again.")
    return 0


def up(console: Console, directory: Path, *, count: int | None = None) -> int:
    """Keep hosts up to work with: the example's five, or ``count`` nodes (2 to 200); return 0."""
    if count is not None and not 2 <= count <= MOST_HOSTS:
        raise UsageError(f"{count} hosts: a fleet has 2 to {MOST_HOSTS}")
    if missing():
        raise VosctlError(f"no hosts can be made here: {missing()}")
    fleet = Fleet.up(hosts.HOSTS if count is None else hosts.numbered(count), directory / "fleet", keep=True)
    for host in list(fleet.hosts.values())[:8]:
        console.print(
            f"{host.name:<10} {host.address:<12} {'sshd' if host.sshd else 'no sshd'}", highlight=False
        )
    if len(fleet.hosts) > 8:
        console.print(f"… and {len(fleet.hosts) - 8} more")
    lines = (
        ("vosctl, aimed at them:", "vosctl demo exec controller vosctl apply playbooks/site.yml"),
        ("on a host:", f"vosctl demo exec {next(iter(fleet.hosts))} iptables -S"),
        ("all gone again:", "vosctl demo down"),
    )
    console.print()
    for label, line in lines:
        console.print(f"{label:<24}{line}", highlight=False, soft_wrap=True)
    return 0


def down(console: Console, directory: Path) -> int:
    """Remove the hosts that ``up`` keeps, and whatever a killed demo left; return 0."""
    found = (directory / "fleet" / "fleet.json").exists()
    _clear(directory / "run")
    clean(directory / "fleet")
    shutil.rmtree(directory / "fleet", ignore_errors=True)
    console.print("the hosts are gone" if found else "no hosts were up")
    return 0


def execute(directory: Path, name: str, argv: Sequence[str]) -> int:
    """Run a command (else a shell) on a host that ``up`` keeps, on this terminal, and return its exit code.

    ``controller`` stands for this machine, where it reaches the hosts and vosctl is aimed at them.
    """
    fleet = Fleet.attach(directory / "fleet")
    command = argv or ("bash",)
    if name == CONTROLLER:
        path = f"{Path(program()).parent}:{os.environ.get('PATH', os.defpath)}"
        full = fleet.controller_argv(("env", f"PATH={path}", *hosts.settings(fleet), *command))
    else:
        full = fleet.host_argv(name, command)
    return subprocess.run(full, check=False).returncode


def _tell(screen: Screen, work: Path, *, in_namespaces: bool) -> None:
    with ExitStack() as stack:
        with screen.step("Hosts"):
            stage = stack.enter_context(hosts.stage(work) if in_namespaces else local.stage(work))
            addresses = stage.ground.addresses
            screen.result("up", ", ".join(f"{name} {addresses[name]}" for name in hosts.ADDRESSES))
        with screen.step("Apply the site"):
            story.apply(stage, screen)
        with screen.step("A call over the encrypted trunk"):
            story.place_call(stage, screen, work)
        with screen.step("A scanner" if in_namespaces else "The firewall"):
            fleet = story.fleet_of(stage)
            story.compiled(stage, screen) if fleet is None else story.scan(stage, fleet, screen)
        with screen.step("Apply again"):
            story.apply_again(stage, screen)
        with screen.step("Change one value"):
            story.change_one_value(stage, screen)


def _clear(work: Path) -> None:
    local.stop_relays(work / "nodes")
    clean(work / "fleet")
    shutil.rmtree(work, ignore_errors=True)
