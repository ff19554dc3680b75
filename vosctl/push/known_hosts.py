"""Strict host keys: known_hosts files read once, looked up for every host, refusals that say what to do."""

from __future__ import annotations

import base64
import hmac
import os
import shlex
import threading
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import paramiko
from msgspec import Struct, field
from paramiko.hostkeys import HostKeyEntry, HostKeys, InvalidHostKey

from vosctl.errors import UnreachableError
from vosctl.push.host_certificate import certificate, flaw
from vosctl.push.ssh_config import Endpoint
from vosctl.push.ssh_config_rules import matches

_RSA = ("rsa-sha2-512", "rsa-sha2-256")
_CERTIFICATES = (
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
)


class Known(Struct, frozen=True):
    """A key in known_hosts, the names it stands for, and the file and line that say so."""

    key: paramiko.PKey
    entry: HostKeyEntry
    where: str


class _File(Struct):
    """One known_hosts file: plain names in an index, hashed names and patterns in a list."""

    plain: dict[str, list[Known]] = field(default_factory=dict)
    others: list[Known] = field(default_factory=list)
    revoked: list[Known] = field(default_factory=list)
    authorities: list[Known] = field(default_factory=list)


class KnownHosts:
    """Looks up host keys; each file is parsed once, by whichever thread comes first."""

    def __init__(self) -> None:
        self._files: dict[Path, _File] = {}
        self._lock = threading.Lock()

    def preferred(self, endpoint: Endpoint) -> tuple[str, ...]:
        """Return the signature algorithms of the keys known for the host: what to ask it for."""
        names: list[str] = []
        if self._authorities(endpoint):
            names += _CERTIFICATES
        for known in self._keys(endpoint):
            name = known.key.get_name()
            names += _RSA if name == "ssh-rsa" else (name,)
        return tuple(dict.fromkeys(names))

    def check(self, node: str, endpoint: Endpoint, key: paramiko.PKey) -> None:
        """Raise UnreachableError unless ``key`` is the one known for the host, or an authority vouches for it.

        The error has the key's fingerprint and the exact command that accepts it. With
        ``StrictHostKeyChecking accept-new`` the first key of a host is written down instead.
        """
        vouched = self._vouched(endpoint, key)
        self._refuse_revoked(node, endpoint, key)
        if vouched == "":
            return
        known = self._keys(endpoint)
        if any(other.key == key for other in known):
            return
        if known:
            raise _changed(node, endpoint, key, known)
        if endpoint.strict == "accept-new" and vouched is None:
            self.remember(endpoint, key)
            return
        raise _unknown(node, endpoint, key, vouched)

    def check_authority(self, node: str, endpoint: Endpoint, authority: bytes) -> None:
        """Raise UnreachableError unless an authority, a public key in SSH's wire format, may vouch for the host."""
        revoked = self._revoked(endpoint, (authority,))
        if revoked is not None:
            raise UnreachableError(
                node,
                f"the authority of {endpoint.known_as}'s certificate is marked @revoked in {revoked.where}",
                hint="do not log in to this host",
            )
        if not any(known.key.asbytes() == authority for known in self._authorities(endpoint)):
            raise not_accepted(node, endpoint, "it is signed by an authority that known_hosts does not name")

    def state(self, endpoint: Endpoint, key: paramiko.PKey) -> tuple[str, tuple[str, ...]]:
        """Return ``known``, ``new``, ``changed`` or ``revoked`` for a key, and the file:line of what is known."""
        if (found := self._revoked(endpoint, (key.asbytes(),))) is not None:
            return "revoked", (found.where,)
        known = self._keys(endpoint)
        same = tuple(other.where for other in known if other.key == key)
        if same:
            return "known", same
        one_type = tuple(other.where for other in known if other.key.get_name() == key.get_name())
        return ("changed", one_type) if one_type else ("new", ())

    def remember(self, endpoint: Endpoint, key: paramiko.PKey) -> str:
        """Add a line to the first known_hosts file and return its file:line; raise OSError where that fails."""
        path = endpoint.known_hosts[0]
        name = HostKeys.hash_host(endpoint.known_as) if endpoint.hash_names else endpoint.known_as
        line = f"{name} {key.get_name()} {key.get_base64()}"
        self._read(endpoint)
        with self._lock:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
            gap = "\n" if text and not text.endswith("\n") else ""
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w") as stream:
                stream.write(f"{gap}{line}\n")
            where = f"{path}:{text.count(chr(10)) + len(gap) + 1}"
            entry = HostKeyEntry([endpoint.known_as], key)
            self._files[path].plain.setdefault(endpoint.known_as, []).append(Known(key, entry, where))
        return where

    def _vouched(self, endpoint: Endpoint, key: paramiko.PKey) -> str | None:
        """Return "" for a good certificate, what is wrong with a bad one, None for a bare key."""
        try:
            found = certificate(key)
        except ValueError as error:
            return str(error)
        if found is None:
            return None
        authorities = {known.key.asbytes() for known in self._authorities(endpoint)}
        return flaw(found, endpoint.principal, authorities)

    def _refuse_revoked(self, node: str, endpoint: Endpoint, key: paramiko.PKey) -> None:
        blobs = [key.asbytes()]
        try:
            found = certificate(key)
        except ValueError:
            found = None
        if found is not None:
            blobs += [known.key.asbytes() for known in self._authorities(endpoint)]
        revoked = self._revoked(endpoint, blobs)
        if revoked is not None:
            raise UnreachableError(
                node,
                f"host key {key.fingerprint} of {endpoint.known_as} is marked @revoked in {revoked.where}",
                hint="do not log in to this host",
            )

    def _revoked(self, endpoint: Endpoint, blobs: Iterable[bytes]) -> Known | None:
        for file in self._read(endpoint):
            for known in file.revoked:
                if known.key.asbytes() in blobs and _names(known.entry, endpoint.known_as):
                    return known
        return None

    def _authorities(self, endpoint: Endpoint) -> list[Known]:
        name = endpoint.known_as
        return [
            known for file in self._read(endpoint) for known in file.authorities if _names(known.entry, name)
        ]

    def _keys(self, endpoint: Endpoint) -> list[Known]:
        name = endpoint.known_as
        found: list[Known] = []
        for file in self._read(endpoint):
            found += file.plain.get(name, ())
            found += [known for known in file.others if _names(known.entry, name)]
        return found

    def _read(self, endpoint: Endpoint) -> list[_File]:
        with self._lock:
            for path in endpoint.known_hosts:
                if path not in self._files:
                    self._files[path] = _parse(path)
            return [self._files[path] for path in endpoint.known_hosts]


def not_accepted(node: str, endpoint: Endpoint, reason: str) -> UnreachableError:
    """Return the error for a host certificate."""
    return UnreachableError(
        node,
        f"host key of {endpoint.known_as} is not known, and its certificate is not accepted: {reason}",
        hint=f"see @cert-authority in {_quoted(endpoint)}, and ssh-keygen -Lf on the host's certificate",
    )


def _changed(node: str, endpoint: Endpoint, key: paramiko.PKey, known: list[Known]) -> UnreachableError:
    name = endpoint.known_as
    was = ", ".join(
        dict.fromkeys(f"{other.key.get_name()} {other.key.fingerprint} in {other.where}" for other in known)
    )
    return UnreachableError(
        node,
        f"host key of {name} has changed to {key.get_name()} {key.fingerprint} (known: {was})",
        hint="somebody may stand in between; if the host was set up anew, compare the fingerprint there, then: "
        f"ssh-keygen -R {shlex.quote(name)} -f {_quoted(endpoint)} && {_accept(endpoint, key)}",
    )


def _unknown(node: str, endpoint: Endpoint, key: paramiko.PKey, vouched: str | None) -> UnreachableError:
    name = endpoint.known_as
    said = "" if vouched is None else f", and its certificate is not accepted: {vouched}"
    loose = endpoint.strict not in ("yes", "accept-new")
    more = f"{endpoint.strict} would take any key, which vosctl never does; " if loose else ""
    return UnreachableError(
        node,
        f"host key of {name} is not known: {key.get_name()} {key.fingerprint}{said}",
        hint=f"{more}compare it on the host (ssh-keygen -lf /etc/ssh/ssh_host_*.pub) and use vosctl ssh-keyscan "
        f"--accept {node}, or accept it with: {_accept(endpoint, key)}",
    )


def _accept(endpoint: Endpoint, key: paramiko.PKey) -> str:
    line = f"{endpoint.known_as} {key.get_name()} {key.get_base64()}"
    return f"echo {shlex.quote(line)} >> {_quoted(endpoint)}"


def _quoted(endpoint: Endpoint) -> str:
    return shlex.quote(str(endpoint.known_hosts[0]))


def _parse(path: Path) -> _File:
    file = _File()
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return file
    for marker, known in _lines(path, text):
        if marker == "@revoked":
            file.revoked.append(known)
        elif marker == "@cert-authority":
            file.authorities.append(known)
        elif not marker:
            _index(file, known)
    return file


def _lines(path: Path, text: str) -> Iterator[tuple[str, Known]]:
    for number, raw in enumerate(text.split("\n"), 1):
        line = " ".join(raw.split())
        marker, _, rest = line.partition(" ") if line.startswith("@") else ("", "", line)
        entry = _entry(rest)
        if entry is not None and entry.key is not None:
            yield marker, Known(entry.key, entry, f"{path}:{number}")


def _index(file: _File, known: Known) -> None:
    for name in known.entry.hostnames:
        if name.startswith("|") or set(name) & set("*?!"):
            file.others.append(known)
            return
        file.plain.setdefault(name, []).append(known)


def _entry(line: str) -> HostKeyEntry | None:
    if not line or line.startswith("#"):
        return None
    try:
        return HostKeyEntry.from_line(line)
    except (InvalidHostKey, paramiko.SSHException, ValueError):
        return None


@cache
def _salted(pattern: str) -> tuple[bytes, bytes]:
    """Return salt and HMAC-SHA-1 of a hashed name, ``|1|salt|hash``; two empty ones for a broken one."""
    try:
        _, _, salt, digest = pattern.split("|")
        return base64.b64decode(salt), base64.b64decode(digest)
    except ValueError:
        return b"", b""


def _names(entry: HostKeyEntry, name: str) -> bool:
    """Whether the entry's names (hashed, with wildcards, negated) stand for the host."""
    matched = False
    for pattern in entry.hostnames:
        if pattern.startswith("|1|"):
            salt, digest = _salted(pattern)
            matched = matched or hmac.digest(salt, name.encode(), "sha1") == digest
        elif pattern.startswith("!") and matches(name, pattern[1:]):
            return False
        else:
            matched = matched or matches(name, pattern)
    return matched
