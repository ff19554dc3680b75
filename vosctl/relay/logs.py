"""Where the relay's processes write what happens: a file that may be rotated, syslog, or standard error."""

from __future__ import annotations

import logging
import logging.handlers
from pathlib import Path
from typing import Optional

_SYSLOG = Path("/dev/log")


# Call-ids and tags come from strangers: one record stays one line, whatever they hold.
_ONE_LINE = dict.fromkeys((*range(32), *range(127, 160)), "?")
_ONE_LINE[ord("\n")] = " "


class _Formatter(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        record.message = record.message.translate(_ONE_LINE)
        return super().formatMessage(record)


def configure(process: str, path: Optional[Path]) -> None:
    """Send all log records of this process to ``path`` (and syslog, where there is one), else to standard error."""
    root = logging.getLogger()
    root.handlers.clear()
    root.setLevel(logging.INFO)
    if path is None:
        _add(root, logging.StreamHandler(), f"{process}: %(levelname)s %(message)s")
        return
    # Opened anew when a rotation has moved it away.
    file = logging.handlers.WatchedFileHandler(path, encoding="utf-8", errors="backslashreplace")
    _add(root, file, f"%(asctime)s {process}[%(process)d] %(levelname)s %(message)s")
    if _SYSLOG.is_socket():
        syslog = logging.handlers.SysLogHandler(str(_SYSLOG), logging.handlers.SysLogHandler.LOG_DAEMON)
        _add(root, syslog, f"vosctl-relay-{process}[%(process)d]: %(message)s")


def _add(root: logging.Logger, handler: logging.Handler, style: str) -> None:
    handler.setFormatter(_Formatter(style))
    root.addHandler(handler)
