"""Where the relay's processes write what happens: a file that may be rotated, syslog, or standard error."""

from __future__ import annotations

import logging
import logging.handlers
import os
import time
from pathlib import Path
from typing import Optional

_SYSLOG = Path("/dev/log")


# Call-ids and tags come from strangers: one record stays one line, whatever they hold.
_ONE_LINE = dict.fromkeys((*range(32), *range(127, 160)), "?")
_ONE_LINE[ord("\n")] = " "


MOST_LINES = 5000  # a second; a call that begins and ends takes two


class _Flood(logging.Filter):
    """Lets so many lines a second through to a handler, and then says how many it left out; errors always pass."""

    def __init__(self, handler: logging.Handler) -> None:
        super().__init__()
        self._handler = handler
        self._second = self._lines = self._left = 0

    def filter(self, record: logging.LogRecord) -> bool:
        second = int(record.created)
        if second != self._second:
            left, self._second, self._lines, self._left = self._left, second, 0, 0
            if left:
                told = {"levelno": logging.WARNING, "levelname": "WARNING", "created": record.created}
                self._handler.handle(
                    logging.makeLogRecord({**told, "msg": f"{left} lines left out: too many a second"})
                )
        self._lines += 1
        passes = self._lines <= MOST_LINES or record.levelno >= logging.ERROR
        self._left += not passes
        return passes


class _Formatter(logging.Formatter):
    """Writes one line a record; the text of a second is made once in that second."""

    def __init__(self, style: str) -> None:
        super().__init__(style)
        self._second = 0
        self._text = ""

    def formatTime(self, record: logging.LogRecord, datefmt: Optional[str] = None) -> str:  # noqa: N802
        second = int(record.created)
        if second != self._second:
            self._second = second
            self._text = time.strftime(datefmt or self.default_time_format, time.localtime(second))
        return f"{self._text},{int(record.msecs):03d}"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        if not record.message.isprintable():
            record.message = record.message.translate(_ONE_LINE)
        return super().formatMessage(record)


def configure(process: str, path: Optional[Path]) -> None:
    """Send all log records of this process to ``path`` (and syslog, where there is one), else to standard error."""
    # No record says from which thread or line of code it comes: looking that up is most of a record's cost.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    vars(logging)["_srcfile"] = None
    root = logging.getLogger()
    root.handlers.clear()
    root.setLevel(logging.INFO)
    if path is None:
        _add(root, logging.StreamHandler(), f"{process}: %(levelname)s %(message)s")
        return
    # Opened anew when a rotation has moved it away.
    file = logging.handlers.WatchedFileHandler(path, encoding="utf-8", errors="backslashreplace")
    _add(root, file, f"%(asctime)s {process}[{os.getpid()}] %(levelname)s %(message)s")
    if _SYSLOG.is_socket():
        syslog = logging.handlers.SysLogHandler(str(_SYSLOG), logging.handlers.SysLogHandler.LOG_DAEMON)
        _add(root, syslog, f"vosctl-relay-{process}[{os.getpid()}]: %(message)s")


def _add(root: logging.Logger, handler: logging.Handler, style: str) -> None:
    handler.setFormatter(_Formatter(style))
    handler.addFilter(_Flood(handler))
    root.addHandler(handler)
