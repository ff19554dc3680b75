"""A run on a terminal as it goes: a bar, how many are in flight and failed, and which nodes take long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vosctl.push.event import (
    BatchStarted,
    Confirmed,
    Event,
    GateChecked,
    GoingBack,
    HostFinished,
    HostStarted,
    HostStep,
    Pausing,
    RolledBack,
    RunStarted,
    Stopped,
)
from vosctl.push.result import Status
from vosctl.report.events import BAD, doing, line

SHOWN = 6
SLOW_SECONDS = 10.0
_STYLES = {
    BatchStarted: "bold",
    GoingBack: "bold magenta",
    Stopped: "bold red",
    Pausing: "",
    GateChecked: "red",
    RolledBack: "magenta",
}


class LiveDisplay:
    """A ``Processor`` and context manager; what it shows is gone when it ends, lines on batches and failures stay."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._command = self._batch = ""
        self._began = monotonic()
        self._done: Counter[Status] = Counter()
        self._flying: dict[str, tuple[float, str]] = {}
        self._live = Live(console=console, transient=True, refresh_per_second=8, get_renderable=self._picture)

    def __enter__(self) -> LiveDisplay:  # noqa: PYI034  typing has no Self in Python 3.10
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the terminal to somebody who asks there."""
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()

    def handle(self, event: Event) -> None:
        """Take an event into the picture."""
        if isinstance(event, RunStarted):
            self._command = event.command
        elif isinstance(event, HostStarted):
            self._flying[event.node] = (monotonic(), "connect")
        elif isinstance(event, (HostStep, Confirmed)):
            since, _ = self._flying.get(event.node, (monotonic(), ""))
            self._flying[event.node] = (since, doing(event))
        elif isinstance(event, HostFinished):
            self._finish(event)
        elif type(event) in _STYLES:
            self._tell(event)

    def _finish(self, event: HostFinished) -> None:
        self._flying.pop(event.node, None)
        self._done[event.result.status] += 1
        if event.result.status in BAD and event.result.error is not None:
            text = Text(f"✗ {event.node}: ", style="bold red")
            text.append(event.result.error.message.removeprefix(f"{event.node}: "), style="not bold")
            self._print(text)

    def _tell(self, event: Event) -> None:
        if isinstance(event, BatchStarted):
            self._batch = f"batch {event.number}/{event.of}" if event.of > 1 else ""
        if text := line(event):
            self._print(Text(text, style=_STYLES[type(event)]))

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)

    def _picture(self) -> RenderableType:
        return Group(self._head(), *self._rows())

    def _head(self) -> Table:
        finished = sum(self._done.values())
        bad = sum(count for status, count in self._done.items() if status in BAD)
        head = Table.grid(padding=(0, 2), expand=False)
        for _ in range(4):
            head.add_column(no_wrap=True)
        told = Text(self._command or "working", style="bold")
        if self._batch:
            told.append(f" · {self._batch}", style="not bold")
        counts = Text(f"{finished}/{self._total} done", style="green" if finished else "")
        if self._flying:
            counts.append(f"  {len(self._flying)} in flight", style="cyan")
        if bad:
            counts.append(f"  {bad} failed", style="bold red")
        bar = ProgressBar(
            total=max(self._total, 1),
            completed=finished,
            width=max(8, min(30, self._console.width - 66)),
            complete_style="red" if bad else "green",
            finished_style="red" if bad else "green",
        )
        head.add_row(told, bar, counts, Text(_clock(monotonic() - self._began), style="dim"))
        return head

    def _rows(self) -> Iterator[Text]:
        """Yield the nodes in flight, the one that has taken longest first."""
        now = monotonic()
        oldest = sorted(self._flying.items(), key=lambda item: item[1][0])
        shown = oldest[:SHOWN]
        width = max((len(name) for name, _ in shown), default=0)
        for name, (since, step) in shown:
            seconds = now - since
            row = Text(f"  {name:<{width}}  ", no_wrap=True, overflow="ellipsis")
            row.append(f"{seconds:5.1f} s  ", style="yellow" if seconds >= SLOW_SECONDS else "dim")
            row.append(step)
            if seconds >= SLOW_SECONDS:
                row.append("  slow", style="yellow")
            yield row
        if len(oldest) > SHOWN:
            yield Text(f"  and {len(oldest) - SHOWN} more", style="dim")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"
