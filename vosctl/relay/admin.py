"""Ask a running relay over its admin socket: status, calls, reload, and changes of keys."""

from __future__ import annotations

import json
import pwd
import socket
from pathlib import Path
from typing import Any, Dict

from vosctl.errors import RelayError
from vosctl.relay.paths import connectable

MAX_REPLY = 256 << 20


def ask(path: Path, command: str, *, timeout: float = 10.0, **fields: Any) -> Dict[str, Any]:
    """Return the reply to ``command`` with its ``fields`` from the control process whose socket is ``path``.

    ``timeout`` is in seconds. Raises ``RelayError`` when nobody answers; a reply with ``ok`` false is
    returned like any other.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line, connectable(path) as name:
            line.settimeout(timeout)
            line.connect(name)
            line.sendall(json.dumps({"cmd": command, **fields}).encode() + b"\n")
            return _reply(line)
    except PermissionError as error:
        raise RelayError(f"{path}: {error.strerror}", hint=f"run it as root or as {_owner(path)}") from error
    except (OSError, ValueError) as error:
        raise RelayError(
            f"{path}: {error}", hint="is the relay running? see `vosctl-relay status`"
        ) from error


def _owner(path: Path) -> str:
    """Return the user that a socket's folder belongs to, which others may not look into."""
    try:
        return pwd.getpwuid(path.parent.stat().st_uid).pw_name
    except (OSError, KeyError):
        return "the relay's user"


def _reply(line: socket.socket) -> Dict[str, Any]:
    data = bytearray()
    while not data.endswith(b"\n"):
        part = line.recv(65536)
        if not part or len(data) > MAX_REPLY:
            raise ValueError("the relay broke off its reply")
        data += part
    reply = json.loads(data)
    if not isinstance(reply, dict):
        raise ValueError("the relay's reply is no object")  # noqa: TRY004 - one kind of error for the caller
    return reply
