"""vosctl rates: the group, and the module of each of its questions.

A module has ``COMMANDS``, as those of ``vosctl.cli`` do. Its imports at the top stay light: the help
of the group imports every module, also where the packages of ``vosctl[rates]`` are not installed.
"""

from __future__ import annotations

import click

from vosctl.cli.commands import Commands

MODULES = {
    "check": "checking",
    "diff": "diffing",
    "export": "exporting",
    "import": "importing",
    "autocreate": "autocreate",
    "breakeven": "breakeven",
    "effective": "effective",
    "margin": "margin",
    "quote": "quote",
    "routes": "routes",
    "reconcile": "reconciling",
    "report": "reporting",
    "simulate": "simulating",
}


@click.group(commands=Commands(MODULES, __package__ or ""), short_help="Ask what calls earn and cost.")
def rates() -> None:
    """Ask what calls earn and cost, exactly, and keep the decks that say so."""


COMMANDS = (rates,)
