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
    root.addHandler(handler)
