"""Runs in a log file, an event a line of JSON, or in syslog, an event a line of text."""

from __future__ import annotations

import os
from pathlib import Path

from vosctl.push.event import Event, GateChecked, HostFinished, RolledBack, Stopped
from vosctl.report.apart import ProcessorError
from vosctl.report.events import BAD, line
from vosctl.report.lines import JsonLines


class LogFile:
    """A ``Processor`` that appends JSON lines to a file; it is opened for each, so that logrotate may move it."""

    def __init__(self, path: str) -> None:
        if not path:
            raise ProcessorError("a log needs a file: log=/var/log/vosctl.jsonl")
        self._path = Path(path).expanduser()
        self._lines = JsonLines(self._append)

    def handle(self, event: Event) -> None:
        """Append the event; raises ProcessorError where the file cannot be written."""
        self._lines.handle(event)

    def _append(self, text: str) -> None:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                os.write(descriptor, f"{text}\n".encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            raise ProcessorError(f"{self._path}: {error.strerror}") from None


class Syslog:
    """A ``Processor`` that tells syslog, under ``vosctl``, what is worth a line; ``facility`` as in ``local0``."""

    def __init__(self, facility: str = "") -> None:
        import syslog  # noqa: PLC0415  few runs need it

        number = getattr(syslog, f"LOG_{(facility or 'user').upper()}", None)
        if not isinstance(number, int):
            raise ProcessorError(
                f"syslog has no facility {facility!r}; it has user, daemon, local0 to local7"
            )
        syslog.openlog("vosctl", syslog.LOG_PID, number)
        self._syslog = syslog

    def handle(self, event: Event) -> None:
        """Write a line: an error for a node that failed, else a notice."""
        text = line(event)
        if text:
            self._syslog.syslog(self._syslog.LOG_ERR if _is_bad(event) else self._syslog.LOG_NOTICE, text)


def _is_bad(event: Event) -> bool:
    if isinstance(event, HostFinished):
        return event.result.status in BAD
    if isinstance(event, (GateChecked, RolledBack)):
        return isinstance(event, RolledBack) or not event.ok
    return isinstance(event, Stopped)
