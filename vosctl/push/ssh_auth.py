"""Logs in with public keys: the named ones, ssh-agent's, the usual files; with a password only where one was given."""

from __future__ import annotations

import copy
import os
import socket
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import paramiko
from paramiko.agent import AgentSSH
from paramiko.pkey import PublicBlob

from vosctl.errors import UnreachableError
from vosctl.push.ssh_config import Endpoint
from vosctl.push.ssh_keys import MISSING, Keys
from vosctl.secret import Secret

Candidate = tuple[str, paramiko.PKey]
Certificates = dict[bytes, list[PublicBlob]]


def login(
    node: str, transport: paramiko.Transport, endpoint: Endpoint, keys: Keys, password: Secret | None = None
) -> None:
    """Authenticate; raise UnreachableError with all that was tried where nothing works."""
    tried: list[str] = []
    with closing(candidates(node, endpoint, keys, tried)) as found:
        for name, key in found if endpoint.public_key else ():
            error, go_on = _try(transport, endpoint.user, name, key, password)
            if not error:
                return
            tried.append(error)
            if not go_on:
                break
    if password is not None and transport.is_active():
        error = _password(transport, endpoint.user, password)
        if not error:
            return
        tried.append(error)
    raise denied(node, endpoint, tried)


def denied(node: str, endpoint: Endpoint, tried: list[str]) -> UnreachableError:
    """Return the error for a login that nothing opened; ``tried`` says what was tried."""
    return UnreachableError(
        node,
        f"login as {endpoint.user} on {endpoint.known_as} failed: {'; '.join(tried) or 'there is no key to try'}",
        hint=f"the public key belongs into ~{endpoint.user}/.ssh/authorized_keys on the node; "
        "name another key with --private-key and another login with --user",
    )


def _try(
    transport: paramiko.Transport, user: str, name: str, key: paramiko.PKey, password: Secret | None
) -> tuple[str, bool]:
    """Try one key and return why it did not work ("": it did), and whether another one may."""
    try:
        more = transport.auth_publickey(user, key)
    except paramiko.BadAuthenticationType as error:
        return f"the server takes only {', '.join(error.allowed_types)}", False
    except paramiko.AuthenticationException as error:
        return f"{name} {key.fingerprint}: {_reason(error)}", transport.is_active()
    except (paramiko.SSHException, EOFError, OSError) as error:
        return f"{name}: {str(error) or 'the server hung up'}", False
    if more and password is not None and "password" in more:
        return _password(transport, user, password), False
    if more:
        return f"{name} was taken, but the server wants {', '.join(more)} as well", False
    return "", False


def _password(transport: paramiko.Transport, user: str, password: Secret) -> str:
    try:
        more = transport.auth_password(user, password.reveal())
    except paramiko.BadAuthenticationType as error:
        return f"the server takes no password, only {', '.join(error.allowed_types)}"
    except paramiko.AuthenticationException as error:
        return f"the password: {_reason(error)}"
    except (paramiko.SSHException, EOFError, OSError) as error:
        return f"the password: {str(error) or 'the server hung up'}"
    return f"the password was taken, but the server wants {', '.join(more)} as well" if more else ""


def candidates(
    node: str, endpoint: Endpoint, keys: Keys, tried: list[str]
) -> Generator[Candidate, None, None]:
    """Yield ssh-agent's keys, then those of files, each with its certificates first."""
    held: set[bytes] = set()
    if endpoint.agent:
        for name, key in _agent_keys(endpoint, keys):
            held.add(key.asbytes())
            yield name, key
    for path in endpoint.keys:
        if keys.public(path) in held:
            continue  # an encrypted one need not be opened for what ssh-agent has tried
        loaded = keys.load(path)
        if isinstance(loaded, paramiko.PKey):
            yield from _file_keys(path, loaded, keys.certificates(endpoint))
        elif endpoint.required:
            raise UnreachableError(
                node, f"private key {path}: {loaded}", hint="see --private-key and private_key"
            )
        elif loaded != MISSING:
            tried.append(f"{path}: {loaded}")


def _file_keys(path: Path, key: paramiko.PKey, certificates: Certificates) -> Iterator[Candidate]:
    for blob in certificates.get(key.asbytes(), ()):
        certified = copy.copy(key)
        certified.public_blob = blob
        yield f"{path} with its certificate", certified
    yield str(path), key


def _agent_keys(endpoint: Endpoint, keys: Keys) -> Generator[Candidate, None, None]:
    """Yield what ssh-agent holds: keys that were named first, others only where they may be used."""
    named = {public for path in endpoint.keys if (public := keys.public(path)) is not None}
    certificates = keys.certificates(endpoint)
    with _agent(endpoint.agent_socket) as held:
        mine = [key for key in held if key.asbytes() in named]
        others = [] if endpoint.only else [key for key in held if key.asbytes() not in named]
        for key in (*mine, *others):
            own = [PublicBlob(key.name, key.blob)] if "-cert-" in key.name else []
            for blob in own or certificates.get(key.asbytes(), []):
                _certify(key, blob)
                yield "ssh-agent with a certificate", key
            if not own:
                _certify(key, None)
                yield "ssh-agent", key


def _certify(key: paramiko.PKey, blob: PublicBlob | None) -> None:
    key.public_blob = blob


@contextmanager
def _agent(path: str | None) -> Generator[list[paramiko.AgentKey], None, None]:
    # A connection of its own for each login: paramiko's agent is not made for threads.
    path = path or os.environ.get("SSH_AUTH_SOCK")
    agent = _Agent()
    try:
        with suppress(paramiko.SSHException, OSError):
            agent.open(path)
        yield list(agent.get_keys())
    finally:
        agent.close()


class _Agent(AgentSSH):
    """paramiko's agent, at any socket."""

    def __init__(self) -> None:
        super().__init__()
        self._socket: socket.socket | None = None

    def open(self, path: str | None) -> None:
        """Ask the agent at ``path`` for its keys; there are none where nobody listens."""
        if not path:
            return
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)
        self._connect(self._socket)  # type: ignore[attr-defined]

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()


def _reason(error: paramiko.AuthenticationException) -> str:
    return "no answer in time" if "timeout" in str(error).lower() else "refused"
