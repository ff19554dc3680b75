"""Connections that outlive a run, as ssh_config's ControlPersist: the next run finds them and need not log in.

Each is held by an ``ssh`` process of its own, which ends by itself after its idle time. Its socket lies in a folder
that belongs to the user alone, under a digest of everything that says where the connection leads, as whom and how:
with another address, login or jump host, or once a key, certificate or known_hosts file has changed, it is not used.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from vosctl.push.channel import Pipe
from vosctl.push.options import PushOptions
from vosctl.push.ssh_config import Endpoint
from vosctl.push.ssh_master import start_master
from vosctl.push.ssh_mux import MuxClient, MuxError, MuxPipe
from vosctl.push.transport import SSH_MARK, Transport

# sun_path holds 107 bytes and a zero; a master binds to a longer name first.
_LONGEST = 107 - len(".01234567") - len(".0123456789012345")
_DIGEST = 20


class HeldTransport:
    """Sessions over the connection behind ``path``; where it gives none any more, over what ``otherwise`` logs in to."""

    def __init__(
        self, login: str, path: Path, client: MuxClient, otherwise: Callable[[], Transport], within: float
    ) -> None:
        self.login = login
        self._path = path
        self._client: MuxClient | None = client
        self._otherwise = otherwise
        self._within = within
        self._pipes: list[MuxPipe] = []
        self._other: Transport | None = None

    def open(self, command: Sequence[str]) -> Pipe:
        """Start a command in the login shell, which first tells how the node sees the connection.

        A connection may have died without a word since it was used. Nothing was asked of the node over it yet, so
        that a new login takes its place.
        """
        line = f'echo "{SSH_MARK.decode()}$SSH_CONNECTION"; exec {shlex.join(command)}'
        if self._other is None:
            client, self._client = self._client, None
            with suppress(MuxError):
                pipe = (client or MuxClient(self._path, self._within)).session(line)
                self._pipes.append(pipe)
                return pipe
            self._other = self._otherwise()
        return self._other.open(command)

    def close(self) -> None:
        """End what runs over it at once; the connection stays."""
        for pipe in self._pipes:
            pipe.close()
        if self._client is not None:
            self._client.close()
        if self._other is not None:
            self._other.close()


def held(
    node: str, route: Sequence[Endpoint], options: PushOptions, home: Path, otherwise: Callable[[], Transport]
) -> Transport | None:
    """Return a held connection, begun now where there is none; None where none can be had.

    Raises NoAnswerError where the node does not answer in time.
    """
    seconds = route[-1].persist if options.persist is None else options.persist
    if not seconds:
        return None
    folder = _folder(home)
    if folder is None:
        return None
    path = folder / _name(route, options)
    if len(os.fsencode(path)) > _LONGEST:
        return None
    within = options.connect_timeout / 2
    with suppress(MuxError):
        return HeldTransport(route[-1].user, path, MuxClient(path, within), otherwise, within)
    if start_master(node, route, path, seconds=seconds, options=options):
        with suppress(MuxError):
            return HeldTransport(route[-1].user, path, MuxClient(path, within), otherwise, within)
    return None


def _name(route: Sequence[Endpoint], options: PushOptions) -> str:
    files = {
        path: _version(path)
        for endpoint in route
        for key in endpoint.keys
        for path in (key, Path(f"{key}-cert.pub"), *endpoint.certificates, *endpoint.known_hosts)
    }
    what = repr((tuple(route), sorted(files.items()), options.post_quantum))
    return hashlib.sha256(what.encode()).hexdigest()[:_DIGEST]


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _folder(home: Path) -> Path | None:
    """Return the folder of the sockets; None where there cannot be one that is ours alone."""
    runtime, cache = os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("XDG_CACHE_HOME")
    folder = (Path(runtime) if runtime else Path(cache) if cache else home / ".cache") / "vosctl" / "ssh"
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
            return folder
    return None
