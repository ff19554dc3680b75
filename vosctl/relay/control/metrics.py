"""Prometheus' text format: what the relay counts, by gateway and trunk, and an HTTP answer with it."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Awaitable, Callable, Dict, Iterable, List, Optional, Tuple

LOG = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_CONNECTIONS = 16
MOST_REQUEST = 8192
SECONDS = 5.0

Labels = Tuple[Tuple[str, str], ...]


class Page:
    """A page of metrics. Counters never go back, even where what they are made of does."""

    def __init__(self) -> None:
        self._floor: Dict[Tuple[str, Labels], float] = {}
        self._lines: List[str] = []

    def begin(self) -> None:
        """Begin anew, with the counters where they were."""
        self._lines = []

    def counter(self, name: str, text: str, samples: Iterable[Tuple[Dict[str, str], float]]) -> None:
        """Add a counter; a sample that is less than it was before (a late packet is no lost one) stays there."""
        kept = []
        for labels, value in samples:
            key = (name, tuple(sorted(labels.items())))
            self._floor[key] = max(value, self._floor.get(key, 0.0))
            kept.append((labels, self._floor[key]))
        self._add("counter", name, text, kept)

    def gauge(self, name: str, text: str, samples: Iterable[Tuple[Dict[str, str], Optional[float]]]) -> None:
        """Add a gauge; samples of None are left out."""
        self._add("gauge", name, text, [(labels, v) for labels, v in samples if v is not None])

    def _add(self, kind: str, name: str, text: str, samples: List[Tuple[Dict[str, str], float]]) -> None:
        if not samples:
            return
        self._lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        for labels, value in samples:
            inside = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
            self._lines.append(f"{name}{{{inside}}} {value:.10g}" if inside else f"{name} {value:.10g}")

    def text(self) -> str:
        """Return the page."""
        return "\n".join([*self._lines, ""])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def write_textfile(path: Path, text: str) -> None:
    """Put the page where node_exporter's textfile collector reads it, whole or not at all. Raises ``OSError``."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(text, encoding="utf-8")
    # The exporter is another user.
    new.chmod(0o644)
    new.replace(path)


class Exporter:
    """Answers ``GET /metrics`` with what ``page`` returns, on one address."""

    def __init__(self, page: Callable[[], Awaitable[str]]) -> None:
        self._page = page
        self._server: Optional[asyncio.AbstractServer] = None
        self._address: Optional[Tuple[str, int]] = None
        self._connections = 0

    async def listen(self, address: Optional[Tuple[str, int]]) -> None:
        """Serve on ``address`` alone, or nowhere. Raises ``OSError`` and goes on where it was."""
        if address == self._address:
            return
        fresh = None
        if address is not None:
            fresh = await asyncio.start_server(self._serve, address[0], address[1], limit=MOST_REQUEST)
        await self.close()
        self._server, self._address = fresh, address

    async def close(self) -> None:
        """Serve no more."""
        if self._server is not None:
            self._server.close()
        self._server = self._address = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= MOST_CONNECTIONS:
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)
                writer.write(await self._answer(head))
                await asyncio.wait_for(writer.drain(), SECONDS)
        except (OSError, ValueError, EOFError, asyncio.TimeoutError, asyncio.LimitOverrunError) as error:
            LOG.debug("metrics: %s", error)
        finally:
            self._connections -= 1
            writer.close()

    async def _answer(self, head: bytes) -> bytes:
        words = head.split(b"\r\n", 1)[0].split(b" ")
        method, path = (words[0], words[1].partition(b"?")[0]) if len(words) == 3 else (b"", b"")
        if method not in {b"GET", b"HEAD"}:
            return _response("405 Method Not Allowed", "only GET\n", body=True)
        if path != b"/metrics":
            return _response("404 Not Found", "see /metrics\n", body=method == b"GET")
        return _response("200 OK", await self._page(), body=method == b"GET")


def _response(status: str, text: str, *, body: bool) -> bytes:
    raw = text.encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {CONTENT_TYPE}", f"Content-Length: {len(raw)}"]
    head = "\r\n".join([*lines, "Connection: close", "", ""]).encode()
    return head + raw if body else head
