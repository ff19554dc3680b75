"""Progress of a run: one live line on a terminal, nothing in a pipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.status import Status as Spinner

from vosctl.push.result import HostResult, Status


class ProgressLine:
    """A ``Processor`` and context manager that keeps ``3/20 nodes · edge-a: files 4/9`` up to date."""

    def __init__(self, console: Console, total: int) -> None:
        self._total = total
        self._done: Counter[Status] = Counter()
        self._spinner = Spinner("", console=console) if console.is_terminal else None

    def __enter__(self) -> ProgressLine:  # noqa: PYI034  typing has no Self in Python 3.10
        if self._spinner is not None:
            self._show("connecting")
            self._spinner.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._spinner is not None:
            self._spinner.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the terminal to somebody who asks there."""
        if self._spinner is None:
            yield
            return
        self._spinner.stop()
        try:
            yield
        finally:
            self._spinner.start()

    def host_started(self, node: str) -> None:
        """Name the node that work begins on."""
        self._show(f"{node}: connecting")

    def host_step(self, node: str, step: str, done: int, of: int) -> None:
        """Show the step that a node is at."""
        self._show(f"{node}: {step} {done}/{of}" if of else f"{node}: {step}")

    def host_finished(self, result: HostResult) -> None:
        """Count a node as done."""
        self._done[result.status] += 1
        self._show(f"{result.node}: {result.status.value}")

    def _show(self, last: str) -> None:
        if self._spinner is None:
            return
        finished = sum(self._done.values())
        bad = self._done[Status.FAILED] + self._done[Status.UNREACHABLE] + self._done[Status.ROLLED_BACK]
        failed = f", {bad} failed" if bad else ""
        self._spinner.update(f"{finished}/{self._total} nodes{failed} · {last}")
