"""Why the agent could not be started on a node, told from what sudo, the shell and python3 say."""

from __future__ import annotations

from vosctl.errors import HostError, UnreachableError
from vosctl.push.channel import Channel

NOT_FOUND = 127
_TTY = "a tty"


def start_failure(node: str, channel: Channel, *, become: bool) -> HostError:
    """Return the error for a command that ended before the agent spoke."""
    status = channel.exit_status()
    said = channel.stderr()
    if become and ("sudo:" in said or "sudoers" in said):
        return _sudo(node, said)
    if status == NOT_FOUND or "python3: command not found" in said:
        missing = "sudo" if "sudo" in said else "python3"
        return HostError(node, f"{missing} is not installed", hint=f"install {missing} on the node")
    tail = " / ".join(said.splitlines()[-3:])
    if status is None:
        return UnreachableError(
            node, "the connection broke before the agent started" + (f": {tail}" if tail else "")
        )
    return HostError(
        node,
        f"the agent did not start (exit status {status})" + (f": {tail}" if tail else ""),
        hint="log in by hand and run: python3 -I -S -c 'print(1)'",
    )


def _sudo(node: str, said: str) -> HostError:
    line = next((line for line in said.splitlines() if "sudo" in line), said)
    if _TTY in said and "sorry" in said:
        hint = (
            "put into /etc/sudoers.d/vosctl on the node: Defaults:LOGIN !requiretty (LOGIN: the login name)"
        )
    else:
        hint = "put into /etc/sudoers.d/vosctl on the node: LOGIN ALL=(root) NOPASSWD: ALL (LOGIN: the login name)"
    return HostError(node, f"sudo refused: {line}", hint=hint)
