"""vosctl demo: the whole story on this machine, or hosts that stay up to work with."""

from __future__ import annotations

import os
from pathlib import Path

import click

from vosctl.cli.screen import output
from vosctl.demo import commands

_state = click.option("--state", type=click.Path(path_type=Path), envvar="VOSCTL_DEMO_STATE",
                      help="Where the demo keeps its state [default: below XDG_RUNTIME_DIR or /run].")  # fmt: skip


@click.group(short_help="Nodes, calls and a scanner, on this machine.")
def demo() -> None:
    """Run the main job on hosts in network namespaces of this machine."""


@demo.command()
@click.option("--without-privileges", is_flag=True,
              help="Folders as nodes and relays on 127.0.0.x, as where namespaces cannot be made.")  # fmt: skip
@_state
def run(state: Path | None, *, without_privileges: bool) -> int:
    """Tell the whole story: apply, call, scan, apply again, change one value; then clean up."""
    return commands.run(output(), _directory(state), without_privileges=without_privileges)


@demo.command()
@click.argument("count", required=False, type=click.IntRange(2, 200))
@_state
def up(state: Path | None, *, count: int | None) -> int:
    """Keep hosts up to work with: the example's five, or COUNT nodes."""
    return commands.up(output(), _directory(state), count=count)


@demo.command()
@_state
def down(state: Path | None) -> int:
    """Remove what 'up' keeps, and whatever a killed demo left."""
    return commands.down(output(), _directory(state))


@demo.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("host")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@_state
def execute(state: Path | None, *, host: str, command: tuple[str, ...]) -> int:
    """Run COMMAND (else a shell) on HOST: a host that 'up' keeps, or 'controller'."""
    return commands.execute(_directory(state), host, command)


def _directory(state: Path | None) -> Path:
    return state if state is not None else commands.default_directory(os.environ)


COMMANDS = (demo,)
