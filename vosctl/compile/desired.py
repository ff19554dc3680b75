"""What a node should be: the compiler's output and the only thing that plan and push know of a site."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from msgspec import Struct


# Nodes of one site share most contents, and a digest is asked for several times in a run. Python keeps the
# hash of bytes and texts with the object, so that looking up costs nothing.
@lru_cache(maxsize=1024)
def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@lru_cache(maxsize=1024)
def _of_texts(head: str, text: str) -> str:
    return hashlib.sha256((head + text).encode()).hexdigest()


# A dataclass: where the site has it and how it is told is no part of what it is.
@dataclass(frozen=True, slots=True)
class File:
    """A file on the node.

    ``reload`` and ``restart`` name services that read it, for when it changes. ``validate`` is a command
    that the new content must pass on the node first, ``%s`` in it the place of a copy; ``origin`` is where
    the site has it (file:line:column), for errors. ``words`` says of a content that is no text what becomes of
    the old one (None: there is none): lines, and the id of the gravest risk or "".
    """

    path: str
    content: bytes
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    secret: bool = False
    reload: str | None = None
    restart: str | None = None
    validate: str = ""
    origin: str = field(default="", compare=False)
    words: Callable[[bytes | None], tuple[tuple[str, ...], str]] | None = field(
        default=None, compare=False, repr=False
    )

    @property
    def digest(self) -> str:
        """SHA-256 of the content, hex."""
        return _sha256(self.content)


class IpSet(Struct, frozen=True):
    """An ipset: ``type`` as ``hash:net`` or ``hash:ip,port``, members sorted, in ipset's own spelling.

    ``options`` are further words of ``ipset create``. A set with a timeout is dynamic: its members are
    the node's own, so none is wanted and none is taken away.
    """

    name: str
    type: str
    family: int
    members: tuple[str, ...]
    maxelem: int
    options: str = ""

    @property
    def dynamic(self) -> bool:
        """Whether the node's own rules and people fill the set."""
        return "timeout" in self.options.split()

    @property
    def digest(self) -> str:
        """SHA-256 of type, family, options and members, hex."""
        options = (self.options,) if self.options else ()
        text = "\n".join((self.type, str(self.family), *options, *self.members))
        return hashlib.sha256(text.encode()).hexdigest()


class Hook(Struct, frozen=True):
    """Where an own chain is entered: ``-I parent 1 -j chain`` in ``table``."""

    table: str
    parent: str
    chain: str


class Ruleset(Struct, frozen=True):
    """All own chains of one address family as ``iptables-restore`` input, without the hooks."""

    family: int
    text: str
    hooks: tuple[Hook, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of text and hooks, hex."""
        hooks = "".join(f"{h.table} {h.parent} {h.chain}\n" for h in self.hooks)
        return _of_texts(hooks, self.text)


class Sysctl(Struct, frozen=True):
    """A kernel setting. ``host_wide`` ones exist only in the host's own network namespace."""

    key: str
    value: str
    host_wide: bool = False


class Service(Struct, frozen=True):
    """A service's wanted state.

    ``supervise`` is the command that starts it where no systemd runs; it must daemonize and write
    ``pidfile``. Without it a node without systemd uses its /etc/init.d script. ``drain``: how many seconds
    an apply that has to restart the relay waits for its calls to end, at the most.
    """

    name: str
    state: str = "running"
    enabled: bool = True
    supervise: tuple[str, ...] = ()
    pidfile: str = ""
    drain: int = 0


class User(Struct, frozen=True):
    """Somebody who can log in, or (not ``present``) must not; None leaves a field as it is."""

    name: str
    present: bool
    uid: int | None
    groups: tuple[str, ...] | None
    shell: str | None
    home: str
    keys: bool


class Release(Struct, frozen=True):
    """The relay release to be installed under /opt/vosctl: version, digest and the archive."""

    version: str
    digest: str
    archive: bytes


class Desired(Struct, frozen=True):
    """The whole wanted state of one node. ``accounts``: system users without shell and home, each with its group."""

    node: str
    packages: tuple[str, ...]
    release: Release | None
    files: tuple[File, ...]
    sets: tuple[IpSet, ...]
    rulesets: tuple[Ruleset, ...]
    sysctls: tuple[Sysctl, ...]
    services: tuple[Service, ...]
    accounts: tuple[str, ...] = ()
    users: tuple[User, ...] = ()
