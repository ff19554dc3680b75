"""The vosctl command: groups the subcommands and turns errors into messages and exit codes."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Sequence
from typing import cast

import click

from vosctl import __version__
from vosctl.cli.commands import Commands
from vosctl.cli.screen import Wish, errors_to, print_json
from vosctl.errors import InputError, VosctlError
from vosctl.report.problems import as_json, print_problems, summarize
from vosctl.site.problems import Problem

USAGE = 64
INTERRUPTED = 130


@click.group(
    commands=Commands(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 fine, 1 wrong input, 2 a node failed, 4 a node was unreachable, 5 a risk that "
    "diff --fail-on names, 6 rolled back, "
    "64 wrong usage; 3 changes pending, with --detailed-exitcode only.",
)
@click.version_option(__version__, prog_name="vosctl")
def cli() -> None:
    """Wholesale voice operations as configuration in git.

    A site is YAML: gateways, trunks, keys, QoS, firewall and rates. vosctl checks it, shows what would
    change on each node, and applies it over SSH so that a node is never half old, half new.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the documented code."""
    code = run(arguments)
    # What is left ends with the process: looking for garbage in it once more takes a tenth of an idle run.
    gc.freeze()
    sys.exit(code)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: the one place that catches errors."""
    wish = Wish()
    try:
        code = cli.main(args=arguments, prog_name="vosctl", standalone_mode=False, obj=wish)
    except click.ClickException as error:
        error.show()
        return USAGE if isinstance(error, click.UsageError) else 1
    except VosctlError as error:
        _show_error(error, json=wish.json)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("vosctl: interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # or Python would complain once more while it exits
        return 1
    except Exception:  # noqa: BLE001  anything else is a bug, and says so
        traceback.print_exc()  # never with local variables, which hold secrets
        click.echo("vosctl: this is a bug; please report it with the lines above", err=True)
        return 1
    return code if isinstance(code, int) else 0


def _show_error(error: VosctlError, *, json: bool) -> None:
    if isinstance(error, InputError):
        _show_problems(error, json=json)
    else:
        click.echo(f"vosctl: {error}", err=True)


def _show_problems(error: InputError, *, json: bool) -> None:
    found = cast("tuple[Problem, ...]", error.problems)
    if json:
        print_json({"ok": False, "problems": as_json(found)})
        return
    console = errors_to()
    print_problems(console, found)
    console.print(summarize(found, ()))
