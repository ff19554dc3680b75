"""Where output goes: consoles for people (NO_COLOR respected by rich) and JSON alone on standard output."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 200  # a pipe has no width; tables need one


class Wish(Struct):
    """How the operator wants to be answered; filled while the command line is parsed."""

    json: bool = False


def output() -> Console:
    """Return the console for results."""
    from rich.console import Console  # noqa: PLC0415  10 ms that JSON need not wait for

    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(file=sys.stdout, highlight=False, soft_wrap=True, emoji=False, markup=False, width=width)


def errors_to() -> Console:
    """Return the console for problems, warnings and progress."""
    from rich.console import Console  # noqa: PLC0415  10 ms that JSON need not wait for

    return Console(file=sys.stderr, highlight=False, soft_wrap=True, emoji=False, markup=False)


def print_json(data: Any) -> None:
    """Write ``data`` as the only thing on standard output."""
    click.echo(json.dumps(data, indent=2, sort_keys=True, default=str))
