"""How the demo looks: numbered steps, one line a result, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape


class Screen:
    """Prints the story; keeps the time and the steps' numbers."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = 0
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the story began."""
        return time.monotonic() - self._began

    def title(self, text: str, explanation: str) -> None:
        """Print what this is."""
        self._print(f"[bold]{escape(text)}[/]  [dim]{escape(explanation)}[/]")

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Print a numbered heading, and the time that what follows took."""
        self._step += 1
        began = time.monotonic()
        self._print(f"\n[bold cyan]{self._step}[/]  [bold]{escape(title)}[/]")
        yield
        self._print(f"   [dim]{time.monotonic() - began:.1f} s[/]")

    def command(self, text: str) -> None:
        """Print a command line that is about to run; its own output follows."""
        self._print(f"   [dim]$[/] {escape(text)}\n")

    def result(self, label: str, text: str, *, good: bool = True) -> None:
        """Print one fact that was found out."""
        mark = "[green]✓[/]" if good else "[bold red]✗[/]"
        self._print(f"   {mark} [bold]{escape(label):<9}[/] {escape(text)}")

    def note(self, text: str) -> None:
        """Print something worth knowing."""
        self._print(f"   [dim]{escape(text)}[/]")

    def end(self, text: str) -> None:
        """Print the last line."""
        self._print(f"\n[bold green]{escape(text)}[/]  [dim]{self.seconds:.0f} s in all[/]")

    def _print(self, text: str) -> None:
        self._console.print(text, markup=True, highlight=False, soft_wrap=True)
        self._console.file.flush()
