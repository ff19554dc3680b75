"""The options that say how a run is shown and told, and the processors that they name."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from vosctl.cli.asking import pausing
from vosctl.cli.options import Callback, SiteArguments, grouped
from vosctl.cli.screen import errors_to
from vosctl.errors import UsageError
from vosctl.push.event import Recap, RunStarted
from vosctl.push.options import PushOptions
from vosctl.push.processor import Processor, Stream
from vosctl.push.result import HostResult, exit_code
from vosctl.report.apart import Apart, ProcessorError
from vosctl.report.lines import JsonLines, PlainLines

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "vosctl.processors"
BUILT_IN = {
    "webhook": "vosctl.report.webhook:Webhook",
    "log": "vosctl.report.logs:LogFile",
    "syslog": "vosctl.report.logs:Syslog",
}
Results = dict[str, HostResult]


class SeeingArguments(Struct, frozen=True):
    """How a run is shown (``auto``, ``live``, ``plain``, ``off``), and who is told of it."""

    progress: str = "auto"
    json_events: bool = False
    processor: tuple[str, ...] = ()


class _Words(click.types.StringParamType):
    """Text; an environment variable gives several of them, a line each."""

    envvar_list_splitter = "\n"


_OPTIONS = (
    click.option("--progress", default="auto", show_default=True, envvar="VOSCTL_PROGRESS",
                 type=click.Choice(["auto", "live", "plain", "off"]),
                 help="A live display, plain lines, or nothing; auto: live on a terminal."),
    click.option("--json-events", is_flag=True, envvar="VOSCTL_JSON_EVENTS",
                 help="What happens as JSON on standard output, an event a line; the last is the recap."),
    click.option("--processor", multiple=True, type=_Words(), envvar="VOSCTL_PROCESSOR",
                 metavar="NAME[=WORD]",
                 help="Also tell this one: webhook=URL, log=FILE, syslog, a plug-in's name or module:Class; "
                 "=@FILE reads the word from a file. May be repeated."),
)  # fmt: skip


def seeing_options(function: Callback) -> Callback:
    """Add the options; the command gets one ``seeing: SeeingArguments``."""
    return grouped(function, "seeing", SeeingArguments, _OPTIONS)


class Run(Struct, frozen=True):
    """What a run is called in its first event. ``hosts``: whether plain output has a line a node."""

    command: str
    nodes: tuple[str, ...]
    options: PushOptions
    hosts: bool = False


def watch(
    site: SiteArguments,
    seeing: SeeingArguments,
    run: Run,
    operation: Callable[[Sequence[Processor]], Results],
) -> Results:
    """Run ``operation`` with the processors that were asked for, a first and a last event around it.

    Raises UsageError for a processor that there is none of; one that fails later is told of on standard
    error and changes nothing.
    """
    others = [_others(word) for word in seeing.processor]
    began = monotonic()
    results: Results = {}
    interrupted = True
    with ExitStack() as stack:
        apart = [_start(stack, name, processor) for name, processor in others]
        shown = stack.enter_context(_shown(site, seeing, run))
        stream = Stream((*shown, *apart))
        options = run.options
        stream.handle(RunStarted(run.command, run.nodes, options.holder, options.revision))
        try:
            results = operation((stream,))
            interrupted = False
        finally:
            code = 130 if interrupted else exit_code(results)
            stream.handle(Recap(results, code, monotonic() - began, interrupted=interrupted))
    return results


def _start(stack: ExitStack, name: str, processor: Processor) -> Apart:
    apart = Apart(name, processor, _complain)
    stack.callback(apart.close)
    return apart


def _complain(text: str) -> None:
    click.echo(f"vosctl: processor {text}", err=True)


@contextmanager
def _shown(site: SiteArguments, seeing: SeeingArguments, run: Run) -> Iterator[tuple[Processor, ...]]:
    """Yield what shows the run on this terminal or pipe."""
    if seeing.json_events:
        yield (JsonLines(_to_output),)
    elif seeing.progress == "off" or (site.json and seeing.progress == "auto"):
        yield ()
    elif seeing.progress == "live" or (seeing.progress == "auto" and is_lively()):
        from vosctl.report.live import LiveDisplay  # noqa: PLC0415  10 ms that a pipe need not wait for

        with LiveDisplay(errors_to(), len(run.nodes)) as display, pausing(display.paused):
            yield (display,)
    else:
        yield (PlainLines(_to_errors, hosts=run.hosts or seeing.progress == "plain"),)


def is_lively() -> bool:
    """Return whether standard error is a terminal that a display can be drawn on, and nobody's log."""
    if os.environ.get("TERM", "") in ("", "dumb", "unknown") or os.environ.get("CI"):
        return False
    return sys.stderr.isatty()


def _to_output(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _to_errors(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _others(word: str) -> tuple[str, Processor]:
    """Return a processor and its name; raise UsageError where there is none of that name or it refuses."""
    name, given, argument = word.partition("=")
    made = _class(name)
    try:
        processor: Processor = made(_read(argument)) if given else made()
    except ProcessorError as error:
        raise UsageError(f"--processor {name}: {error}") from error
    except Exception as error:  # somebody else's code
        raise UsageError(f"--processor {name}: it cannot be made: {type(error).__name__}") from error
    if not callable(getattr(processor, "handle", None)):
        raise UsageError(f"--processor {name}: it has no method handle(event)", hint="docs/seeing.md")
    return name, processor


def _read(argument: str) -> str:
    if not argument.startswith("@"):
        return argument
    try:
        return Path(argument[1:]).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ProcessorError(f"{argument[1:]} cannot be read: {type(error).__name__}") from None


def _class(name: str) -> Any:
    place = BUILT_IN.get(name, name)
    try:
        if ":" in place:
            module, _, attribute = place.partition(":")
            return getattr(importlib.import_module(module), attribute)
        found = [each for each in _plugged() if each.name == name]
        if found:
            return found[0].load()
    except Exception as error:  # an import runs somebody else's code
        raise UsageError(f"--processor {name}: {type(error).__name__}: {error}") from error
    plugged = sorted({each.name for each in _plugged()})
    raise UsageError(
        f"--processor {name}: there is none of that name",
        hint=f"there are {', '.join([*BUILT_IN, *plugged])}; or module:Class",
    )


def _plugged() -> Sequence[EntryPoint]:
    from importlib.metadata import entry_points  # noqa: PLC0415  15 ms, for those who have plug-ins

    return tuple(entry_points(group=GROUP))
