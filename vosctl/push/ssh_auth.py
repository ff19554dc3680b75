"""Logs in with public keys: the named ones, ssh-agent's, the usual files; each file is parsed once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm

from vosctl.errors import UnreachableError
from vosctl.push.ssh_config import Endpoint


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
    except OSError as error:
        return error.strerror or str(error)
    except TypeError:
        return "is encrypted; add it to ssh-agent"
    except (paramiko.SSHException, UnsupportedAlgorithm, ValueError):
        return "is not a private key that can be used"


def login(node: str, transport: paramiko.Transport, endpoint: Endpoint, keys: Keys) -> None:
    """Authenticate; raise UnreachableError with all that was tried where nothing works."""
    tried: list[str] = []
    for name, key in _candidates(node, endpoint, keys, tried):
        try:
            more = transport.auth_publickey(endpoint.user, key)
        except paramiko.BadAuthenticationType as error:
            tried.append(f"the server takes only {', '.join(error.allowed_types)}")
            break
        except paramiko.AuthenticationException as error:
            tried.append(f"{name} {key.fingerprint}: {_reason(error)}")
            if not transport.is_active():
                break
            continue
        except (paramiko.SSHException, EOFError, OSError) as error:
            tried.append(f"{name}: {str(error) or 'the server hung up'}")
            break
        if not more:
            return
        tried.append(f"{name} was taken, but the server wants {', '.join(more)} as well")
        break
    raise UnreachableError(
        node,
        f"login as {endpoint.user} on {endpoint.known_as} failed: {'; '.join(tried) or 'there is no key to try'}",
        hint=f"the public key belongs into ~{endpoint.user}/.ssh/authorized_keys on the node; "
        "name another key with --private-key and another login with --user",
    )


def _candidates(
    node: str, endpoint: Endpoint, keys: Keys, tried: list[str]
) -> Iterator[tuple[str, paramiko.PKey]]:
    if endpoint.agent:
        for key in _agent_keys():
            yield "ssh-agent", key
    for path in endpoint.keys:
        loaded = keys.load(path)
        if isinstance(loaded, paramiko.PKey):
            yield str(path), loaded
        elif endpoint.required:
            raise UnreachableError(
                node, f"private key {path}: {loaded}", hint="see --private-key and private_key"
            )
        else:
            tried.append(f"{path}: {loaded}")


def _agent_keys() -> tuple[paramiko.PKey, ...]:
    try:
        return tuple(paramiko.Agent().get_keys())
    except (paramiko.SSHException, OSError):
        return ()


def _reason(error: paramiko.AuthenticationException) -> str:
    return "no answer in time" if "timeout" in str(error).lower() else "refused"
