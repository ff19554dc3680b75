"""Strict host keys: known_hosts files read once, looked up for every host, refusals that say what to do."""

from __future__ import annotations

import fnmatch
import shlex
import threading
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
from paramiko.hostkeys import HostKeyEntry, HostKeys, InvalidHostKey

from vosctl.errors import UnreachableError
from vosctl.push.ssh_config import Endpoint

_RSA = ("rsa-sha2-512", "rsa-sha2-256")


@dataclass(slots=True)
class _File:
    """One known_hosts file: plain names in an index, hashed names and patterns in a list."""

    plain: dict[str, list[paramiko.PKey]] = field(default_factory=dict)
    others: list[HostKeyEntry] = field(default_factory=list)
    revoked: list[HostKeyEntry] = field(default_factory=list)


class KnownHosts:
    """Looks up host keys; each file is parsed once, by whichever thread comes first."""

    def __init__(self) -> None:
        self._files: dict[Path, _File] = {}
        self._lock = threading.Lock()

    def preferred(self, endpoint: Endpoint) -> tuple[str, ...]:
        """Return the signature algorithms of the keys known for the host: what to ask it for."""
        names: list[str] = []
        for key in self._keys(endpoint):
            names += _RSA if key.get_name() == "ssh-rsa" else (key.get_name(),)
        return tuple(dict.fromkeys(names))

    def check(self, node: str, endpoint: Endpoint, key: paramiko.PKey) -> None:
        """Raise UnreachableError unless ``key`` is the one known for the host.

        The error has the key's fingerprint and the exact command that accepts it.
        """
        name = endpoint.known_as
        if any(
            _names(entry, name) and entry.key == key
            for file in self._read(endpoint)
            for entry in file.revoked
        ):
            raise UnreachableError(
                node,
                f"host key {key.fingerprint} of {name} is marked @revoked",
                hint="do not log in to this host",
            )
        known = self._keys(endpoint)
        if key in known:
            return
        accept = f"echo {shlex.quote(f'{name} {key.get_name()} {key.get_base64()}')} >> {_quoted(endpoint)}"
        if not known:
            raise UnreachableError(
                node,
                f"host key of {name} is not known: {key.get_name()} {key.fingerprint}",
                hint=f"compare it on the host (ssh-keygen -lf /etc/ssh/ssh_host_*.pub), then accept it with: {accept}",
            )
        was = ", ".join(sorted({f"{other.get_name()} {other.fingerprint}" for other in known}))
        raise UnreachableError(
            node,
            f"host key of {name} has changed to {key.get_name()} {key.fingerprint} (known: {was})",
            hint="somebody may stand in between; if the host was set up anew, compare the fingerprint there, then: "
            f"ssh-keygen -R {shlex.quote(name)} -f {_quoted(endpoint)} && {accept}",
        )

    def _keys(self, endpoint: Endpoint) -> list[paramiko.PKey]:
        name = endpoint.known_as
        found: list[paramiko.PKey] = []
        for file in self._read(endpoint):
            found += file.plain.get(name, ())
            found += [entry.key for entry in file.others if entry.key and _names(entry, name)]
        return found

    def _read(self, endpoint: Endpoint) -> list[_File]:
        with self._lock:
            for path in endpoint.known_hosts:
                if path not in self._files:
                    self._files[path] = _parse(path)
            return [self._files[path] for path in endpoint.known_hosts]


def _quoted(endpoint: Endpoint) -> str:
    return shlex.quote(str(endpoint.known_hosts[0]))


def _parse(path: Path) -> _File:
    file = _File()
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return file
    for raw in text.splitlines():
        line = " ".join(raw.split())
        marker, _, rest = line.partition(" ") if line.startswith("@") else ("", "", line)
        entry = _entry(rest)
        # Certificate authorities sign host certificates, which are not asked for here.
        if entry is None or entry.key is None or marker == "@cert-authority":
            continue
        if marker == "@revoked":
            file.revoked.append(entry)
            continue
        for name in entry.hostnames:
            if name.startswith("|") or set(name) & set("*?!"):
                file.others.append(entry)
                break
            file.plain.setdefault(name, []).append(entry.key)
    return file


def _entry(line: str) -> HostKeyEntry | None:
    if not line or line.startswith("#"):
        return None
    try:
        return HostKeyEntry.from_line(line)
    except (InvalidHostKey, paramiko.SSHException, ValueError):
        return None


def _names(entry: HostKeyEntry, name: str) -> bool:
    """Whether the entry's names (hashed, with wildcards, negated) stand for the host."""
    matched = False
    for pattern in entry.hostnames:
        if pattern.startswith("|1|"):
            matched = matched or HostKeys.hash_host(name, pattern) == pattern
        elif pattern.startswith("!") and _like(name, pattern[1:]):
            return False
        else:
            matched = matched or _like(name, pattern)
    return matched


def _like(name: str, pattern: str) -> bool:
    """OpenSSH's patterns know * and ? only; the brackets of ``[host]:port`` are themselves."""
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))
