"""Why the agent could not be started on a node, told from what sudo, the shell and python3 say."""

from __future__ import annotations

from vosctl.errors import HostError, UnreachableError
from vosctl.push.channel import Channel

NOT_FOUND = 127
_DENIED = "is not allowed to execute"
_TTY = "must have a tty"


def start_failure(node: str, channel: Channel, *, heard: str, login: str | None) -> HostError:
    """Return the error for a command that ended before the agent spoke; ``login`` used sudo, None did not.

    ``heard`` is the last line on standard output, where a login shell that is none complains.
    """
    status = channel.exit_status()
    said = channel.stderr() or heard
    if status == NOT_FOUND or "python3: command not found" in said:
        missing = "python3" if login is None or "python3" in said else "sudo"
        return HostError(node, f"{missing} is not installed", hint=f"install {missing} on the node")
    if login is not None and any(word in said for word in ("sudo:", "sudoers", _DENIED)):
        return _sudo(node, said, login)
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


def _sudo(node: str, said: str, login: str) -> HostError:
    if "incorrect password" in said:
        return wrong_password(node, login)
    if _DENIED in said:  # and then the whole command, in many lines
        said = f"sudo does not let {login} run this as root"
    line = next((line for line in said.splitlines() if "sudo" in line), said)
    rule = f"Defaults:{login} !requiretty" if _TTY in said else f"{login} ALL=(root) NOPASSWD: ALL"
    hint = f"put this into /etc/sudoers.d/vosctl on the node: {rule}"
    if "a password is required" in said:
        hint = f"give the password with --ask-become-pass or --become-password-file, or {hint}"
    return HostError(node, f"sudo refused: {line}", hint=hint)


def wrong_password(node: str, login: str) -> HostError:
    """Return the error for a password that sudo did not take."""
    return HostError(
        node,
        f"sudo did not take the password of {login}",
        hint="see --ask-become-pass and --become-password-file; it is the password of the login, not of root",
    )
