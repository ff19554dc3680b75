"""Starts OpenSSH's client as the holder of one connection, told in full what vosctl has worked out for it.

No ssh_config is read by it: host, login, keys, known_hosts and strictness are those of the endpoints. It asks
nothing; what cannot be done without a question is left to the library that logs in otherwise.
"""

from __future__ import annotations

import math
import secrets
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile

from vosctl.push.options import PushOptions
from vosctl.push.ssh_config import Endpoint
from vosctl.push.ssh_dial import no_answer

_CLASSICAL = "^curve25519-sha256,curve25519-sha256@libssh.org"
# Connect, handshake and login have the limit each; then it is no use to wait on.
_PHASES = 3
_FIXED = (
    "BatchMode=yes",
    "ClearAllForwardings=yes",
    "EscapeChar=none",
    "ForwardAgent=no",
    "ForwardX11=no",
    "GlobalKnownHostsFile=/dev/null",
    "KbdInteractiveAuthentication=no",
    "PasswordAuthentication=no",
    "RequestTTY=no",
    "StrictHostKeyChecking=yes",  # a key that may be learnt is learnt by who logs in otherwise
    "UpdateHostKeys=no",
)


def start_master(
    node: str, route: Sequence[Endpoint], path: Path, *, seconds: float, options: PushOptions
) -> bool:
    """Log in along ``route`` and hold the connection behind the socket ``path`` until it was idle for ``seconds``.

    Returns False where that is not possible, for whatever reason but one: raises NoAnswerError where nobody
    answered in time, which would be so for whoever tries next.
    """
    # Under a name of its own first: two masters that start at once do not disturb each other, the last one stays.
    own = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        words = _words(route, options)
    except ValueError:
        return False
    control = (f"ControlPath={_escaped(own)}", f"ControlPersist={_idle(seconds)}", "ControlMaster=yes")
    limit = route[0].connect_timeout or options.connect_timeout
    with TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                ["ssh", "-N", "-f", *_flags(control), *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
        except OSError:
            return False
        try:
            status = process.wait(limit * _PHASES)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        said.seek(0)
        if status and b"timed out" in said.read():
            raise no_answer(node, f"{route[0].address} port {route[0].port}", limit)
    if status or not own.is_socket():
        return False
    own.rename(path)
    return True


def _words(route: Sequence[Endpoint], options: PushOptions) -> list[str]:
    """Return the arguments that lead to the last of ``route``; raise ValueError for what they cannot say."""
    *jumps, last = route
    settings = [*_FIXED, *_settings(last, options)]
    if jumps:
        through = ["ssh", "-W", f"[{last.address}]:{last.port}", *_words(jumps, options)]
        settings.append(f"ProxyCommand={_escaped(shlex.join(through))}")
    elif last.proxy_command:
        settings.append(f"ProxyCommand={_escaped(last.proxy_command)}")
    return ["-F", "none", "-l", last.user, "-p", str(last.port), *_flags(settings), "--", last.address]


def _settings(endpoint: Endpoint, options: PushOptions) -> Iterator[str]:
    limit = endpoint.connect_timeout or options.connect_timeout
    yield f"ConnectTimeout={math.ceil(limit)}"
    yield f"ServerAliveInterval={math.ceil(endpoint.alive_interval)}"
    yield f"ServerAliveCountMax={endpoint.alive_count}"
    yield f"UserKnownHostsFile={' '.join(_quoted(path) for path in endpoint.known_hosts) or '/dev/null'}"
    yield f"PubkeyAuthentication={_yes(endpoint.public_key)}"
    yield f"IdentitiesOnly={_yes(endpoint.only)}"
    yield from (f"IdentityFile={_quoted(path)}" for path in endpoint.keys)
    if not endpoint.keys:
        yield "IdentityFile=none"
    yield from (f"CertificateFile={_quoted(path)}" for path in endpoint.certificates)
    if not endpoint.agent:
        yield "IdentityAgent=none"
    elif endpoint.agent_socket:
        yield f"IdentityAgent={_quoted(Path(endpoint.agent_socket))}"
    if endpoint.alias:
        yield f"HostKeyAlias={endpoint.alias}"
    if endpoint.family != "any":
        yield f"AddressFamily={endpoint.family}"
    if endpoint.bind:
        yield f"BindAddress={endpoint.bind}"
    algorithms = dict(endpoint.algorithms)
    if not options.post_quantum:
        algorithms.setdefault("kexalgorithms", _CLASSICAL)
    yield from (f"{keyword}={wish}" for keyword, wish in algorithms.items())


def _flags(settings: Sequence[str]) -> Iterator[str]:
    for setting in settings:
        yield "-o"
        yield setting


def _idle(seconds: float) -> str:
    return "yes" if math.isinf(seconds) else str(max(1, math.ceil(seconds)))


def _yes(value: bool) -> str:  # noqa: FBT001  it is the value itself
    return "yes" if value else "no"


def _quoted(path: Path) -> str:
    """Return a path as a word of ssh_config(5) that nothing in it is expanded of."""
    text = str(path)
    if set(text) & set('"$\\\n'):
        raise ValueError(f"{text} cannot be quoted for ssh")
    return f'"{_escaped(path)}"'


def _escaped(text: str | Path) -> str:
    return str(text).replace("%", "%%")
