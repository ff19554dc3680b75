"""Where the relay's processes write what happens: a file that may be rotated, syslog, or standard error."""

from __future__ import annotations

import logging
import logging.handlers
from pathlib import Path
from typing import Optional

_SYSLOG = Path("/dev/log")


def configure(process: str, path: Optional[Path]) -> None:
    """Send all log records of this process to ``path`` (and syslog, where there is one), else to standard error."""
    root = logging.getLogger()
    root.handlers.clear()
    root.setLevel(logging.INFO)
    if path is None:
        _add(root, logging.StreamHandler(), f"{process}: %(levelname)s %(message)s")
        return
    # Opened anew when a rotation has moved it away.
    file = logging.handlers.WatchedFileHandler(path)
    _add(root, file, f"%(asctime)s {process}[%(process)d] %(levelname)s %(message)s")
    if _SYSLOG.is_socket():
        syslog = logging.handlers.SysLogHandler(str(_SYSLOG), logging.handlers.SysLogHandler.LOG_DAEMON)
        _add(root, syslog, f"vosctl-relay-{process}[%(process)d]: %(message)s")


def _add(root: logging.Logger, handler: logging.Handler, style: str) -> None:
    handler.setFormatter(logging.Formatter(style))
    root.addHandler(handler)
