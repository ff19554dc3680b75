"""Logs in with public keys: the named ones, ssh-agent's, the usual files; each file is parsed once."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm

from vosctl.errors import UnreachableError
from vosctl.push.ssh_config import Endpoint

MISSING = "there is no such file"


class Keys:
    """Private keys by path; a file that is no usable key is remembered with the reason."""

    def __init__(self) -> None:
        self._loaded: dict[Path, paramiko.PKey | str] = {}
        self._lock = threading.Lock()

    def load(self, path: Path) -> paramiko.PKey | str:
        """Return the key in the file, or why it cannot be used."""
        with self._lock:
            if path not in self._loaded:
                self._loaded[path] = _load(path)
            return self._loaded[path]


def _load(path: Path) -> paramiko.PKey | str:
    try:
        return paramiko.PKey.from_path(path)
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        return error.strerror or str(error)
    except TypeError:
        return "is encrypted; add it to ssh-agent"
    except (paramiko.SSHException, UnsupportedAlgorithm, ValueError):
        return "is not a private key that can be used"


def login(node: str, transport: paramiko.Transport, endpoint: Endpoint, keys: Keys) -> None:
    """Authenticate; raise UnreachableError with all that was tried where nothing works."""
    tried: list[str] = []
    with closing(_candidates(node, endpoint, keys, tried)) as candidates:
        for name, key in candidates:
            error, go_on = _try(transport, endpoint.user, name, key)
            if not error:
                return
            tried.append(error)
            if not go_on:
                break
    raise UnreachableError(
        node,
        f"login as {endpoint.user} on {endpoint.known_as} failed: {'; '.join(tried) or 'there is no key to try'}",
        hint=f"the public key belongs into ~{endpoint.user}/.ssh/authorized_keys on the node; "
        "name another key with --private-key and another login with --user",
    )


def _try(transport: paramiko.Transport, user: str, name: str, key: paramiko.PKey) -> tuple[str, bool]:
    """Try one key and return why it did not work ("": it did), and whether another one may."""
    try:
        more = transport.auth_publickey(user, key)
    except paramiko.BadAuthenticationType as error:
        return f"the server takes only {', '.join(error.allowed_types)}", False
    except paramiko.AuthenticationException as error:
        return f"{name} {key.fingerprint}: {_reason(error)}", transport.is_active()
    except (paramiko.SSHException, EOFError, OSError) as error:
        return f"{name}: {str(error) or 'the server hung up'}", False
    if more:
        return f"{name} was taken, but the server wants {', '.join(more)} as well", False
    return "", False


def _candidates(
    node: str, endpoint: Endpoint, keys: Keys, tried: list[str]
) -> Generator[tuple[str, paramiko.PKey], None, None]:
    if endpoint.agent:
        yield from _agent_keys()
    for path in endpoint.keys:
        loaded = keys.load(path)
        if isinstance(loaded, paramiko.PKey):
            yield str(path), loaded
        elif endpoint.required:
            raise UnreachableError(
                node, f"private key {path}: {loaded}", hint="see --private-key and private_key"
            )
        elif loaded != MISSING:
            tried.append(f"{path}: {loaded}")


def _agent_keys() -> Generator[tuple[str, paramiko.PKey], None, None]:
    # A connection of its own for each login: paramiko's agent is not made for threads.
    try:
        agent = paramiko.Agent()
    except (paramiko.SSHException, OSError):
        return
    try:
        for key in agent.get_keys():
            yield "ssh-agent", key
    finally:
        agent.close()


def _reason(error: paramiko.AuthenticationException) -> str:
    return "no answer in time" if "timeout" in str(error).lower() else "refused"
