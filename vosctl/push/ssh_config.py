"""Where an SSH connection goes and as whom: command line, then inventory, then ssh_config, then defaults."""

from __future__ import annotations

import math
import os
import threading
from functools import cache
from pathlib import Path

from msgspec import Struct

from vosctl.errors import UsageError
from vosctl.push.options import PushOptions
from vosctl.push.ssh_config_file import Line, Reader, expand_variables, split
from vosctl.push.ssh_config_match import Resolver, Settings, Target, percent, tokens
from vosctl.push.ssh_config_rules import seconds
from vosctl.push.transport import own_login
from vosctl.site.model import Connection

PORT = 22
SYSTEM = Path("/etc/ssh")
SYSTEM_KNOWN_HOSTS = SYSTEM / "ssh_known_hosts"
DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
ALIVE_INTERVAL = 15.0
ALIVE_COUNT = 3
MAX_JUMPS = 16
_YES = ("yes", "true")


class Endpoint(Struct, frozen=True):
    """One SSH server and how to log in there. Times are in seconds.

    - ``known_as``: the name in known_hosts; ``principal``: the name in a host certificate.
    - ``keys`` are tried in order; ``required``: somebody named them (a missing one is an error); ``only``:
      of ssh-agent's keys none but these may be used. ``certificates`` belong to any of the keys.
    - ``agent_socket``: where ssh-agent listens, None for SSH_AUTH_SOCK.
    - ``connect_timeout``: None leaves it to the options. After ``alive_count`` unanswered keepalives,
      ``alive_interval`` apart, the connection is given up; an interval of 0 sends none.
    - ``strict``: "yes", "accept-new", or the file:line of a setting that would take any key, which
      is not followed; ``hash_names``: names that are written into known_hosts are hashed.
    - ``algorithms``: the lists of ssh_config by keyword, where it has any.
    - ``persist``: how long a connection that is not used is held for the next run, by ControlPersist.
    - ``jumps`` are passed first, in order; ``last``: it is the node itself, no jump host.
    """

    address: str
    port: int
    user: str
    known_as: str
    known_hosts: tuple[Path, ...]
    keys: tuple[Path, ...]
    required: bool
    agent: bool
    jumps: tuple[str, ...] = ()
    proxy_command: str | None = None
    only: bool = False
    certificates: tuple[Path, ...] = ()
    agent_socket: str | None = None
    public_key: bool = True
    connect_timeout: float | None = None
    attempts: int = 1
    alive_interval: float = ALIVE_INTERVAL
    alive_count: int = ALIVE_COUNT
    strict: str = "yes"
    hash_names: bool = False
    family: str = "any"
    bind: str | None = None
    algorithms: tuple[tuple[str, str], ...] = ()
    alias: str | None = None
    persist: float = 0.0
    last: bool = True

    @property
    def principal(self) -> str:
        """The name that a host certificate must hold: the host's, without a port."""
        return self.alias or self.address


class SshConfig:
    """Resolves connections; every ssh_config file is parsed once."""

    def __init__(self, options: PushOptions) -> None:
        self._options = options
        self._login, home = own_login()
        self._home = options.home or home
        self._lock = threading.Lock()
        self._resolver = cache(self._resolver_of)
        self._routes = cache(self._route)

    def route(self, connection: Connection) -> tuple[Endpoint, ...]:
        """Return the servers to pass, the node last; raise UsageError for an ssh_config that cannot be followed.

        As with OpenSSH the jumps of the first jump host count, those of the ones behind it do not.
        """
        return self._routes(connection)

    def _route(self, connection: Connection) -> tuple[Endpoint, ...]:
        hops = [self.endpoint(connection)]
        while hops[0].jumps:
            if len(hops) > MAX_JUMPS:
                raise UsageError(
                    f"ProxyJump of {connection.host} leads through more than {MAX_JUMPS} hosts",
                    hint="does a jump host jump through itself?",
                )
            hops[:0] = [self.jump(spec, connection) for spec in hops[0].jumps]
        return tuple(hops)

    def endpoint(self, connection: Connection) -> Endpoint:
        """Return where ``connection`` leads."""
        options = self._options
        settings = self._lookup(
            connection,
            connection.host,
            user=options.user or connection.user,
            port=connection.port if connection.port != PORT else None,
        )
        return self._endpoint(settings, connection)

    def jump(self, spec: str, connection: Connection) -> Endpoint:
        """Return the endpoint of one ``[user@]host[:port]`` of ProxyJump."""
        user, at, rest = spec.removeprefix("ssh://").rpartition("@")
        host, port = _host_port(rest)
        settings = self._lookup(connection, host, user=user if at else None, port=port)
        return self._endpoint(settings, connection, last=False)

    def _endpoint(self, settings: Settings, connection: Connection, *, last: bool = True) -> Endpoint:
        options = self._options
        key = options.private_key or connection.private_key
        known = options.known_hosts or connection.known_hosts
        alias = settings.value("hostkeyalias")
        named = self._paths(settings, "identityfile")
        listed = settings.several.get("identityfile")
        only = key is not None or _is(settings, "identitiesonly", default=False)
        agent = self._agent(settings)
        return Endpoint(
            address=settings.hostname,
            port=settings.port,
            user=settings.user,
            known_as=alias or known_name(settings.hostname, settings.port),
            known_hosts=(known,) if known else self._known_hosts(settings),
            keys=(key,) if key else self._default_keys() if listed is None else named,
            required=key is not None,
            agent=options.agent and agent != "none",
            jumps=self._jumps(settings),
            proxy_command=self._proxy_command(settings),
            only=only,
            certificates=self._paths(settings, "certificatefile"),
            agent_socket=agent,
            public_key=settings.value("pubkeyauthentication") not in ("no", "false"),
            connect_timeout=_seconds(settings, "connecttimeout", None),
            attempts=int(settings.value("connectionattempts") or 1),
            alive_interval=_seconds(settings, "serveraliveinterval", ALIVE_INTERVAL) or 0.0,
            alive_count=int(settings.value("serveralivecountmax") or ALIVE_COUNT),
            strict=_strict(settings),
            hash_names=_is(settings, "hashknownhosts", default=False),
            family=(settings.value("addressfamily") or "any").lower(),
            bind=settings.value("bindaddress"),
            algorithms=_algorithms(settings),
            alias=alias,
            persist=_persist(settings),
            last=last,
        )

    def _lookup(self, connection: Connection, host: str, *, user: str | None, port: int | None) -> Settings:
        chosen = self._options.ssh_config or connection.ssh_config
        target = Target(host, user, port, self._login, self._home)
        with self._lock:  # a file is read, and a command of Match exec run, by whichever thread comes first
            return self._resolver(chosen).resolve(target)

    def _resolver_of(self, chosen: Path | None) -> Resolver:
        own = Reader(self._home / ".ssh", self._home)
        if chosen is not None:
            return Resolver([own.read(chosen, required=True) or ()])
        files = [own.read(self._home / ".ssh" / "config") or ()]
        if self._options.system_ssh:
            files.append(Reader(SYSTEM, self._home).read(SYSTEM / "ssh_config") or ())
        return Resolver(files)

    def _default_keys(self) -> tuple[Path, ...]:
        return tuple(self._home / ".ssh" / name for name in DEFAULT_KEYS)

    def _paths(self, settings: Settings, keyword: str) -> tuple[Path, ...]:
        lines = settings.several.get(keyword, ())
        found = [self._path(line.words[0], line, settings) for line in lines if line.words[0] != "none"]
        return tuple(dict.fromkeys(found))

    def _known_hosts(self, settings: Settings) -> tuple[Path, ...]:
        files: list[Path] = []
        for keyword, default, wanted in (
            ("userknownhostsfile", self._home / ".ssh" / "known_hosts", True),
            ("globalknownhostsfile", SYSTEM_KNOWN_HOSTS, self._options.system_ssh),
        ):
            line = settings.single.get(keyword)
            if line is not None:
                files += [self._path(word, line, settings) for word in line.words if word != "none"]
            elif wanted:
                files.append(default)
        return tuple(dict.fromkeys(files))

    def _path(self, text: str, line: Line, settings: Settings) -> Path:
        text = percent(expand_variables(text, line), tokens(settings), line)
        return self._home / text[2:] if text.startswith("~/") else Path(text)

    def _agent(self, settings: Settings) -> str | None:
        line = settings.single.get("identityagent")
        if line is None or line.words[0] == "SSH_AUTH_SOCK":
            return None
        value = line.words[0]
        if value.startswith("$") and not value.startswith("${"):
            return os.environ.get(value[1:], "none")
        return "none" if value == "none" else str(self._path(value, line, settings))

    def _proxy_command(self, settings: Settings) -> str | None:
        line = settings.single.get("proxycommand")
        if line is None or line.words[0].lower() == "none":
            return None
        known = {name: value for name, value in tokens(settings).items() if name in "hnpr"}
        return percent(line.words[0], known, line)

    def _jumps(self, settings: Settings) -> tuple[str, ...]:
        line = settings.single.get("proxyjump")
        if line is None or line.words[0].lower() == "none":
            return ()
        specs = split(line.words[0].replace(",", " "), line)
        if not specs or any(not _host_port(spec.rpartition("@")[2])[0] for spec in specs):
            raise line.wrong(f"ProxyJump {line.words[0]}: [user@]host[:port], with commas between, is wanted")
        return specs


def known_name(address: str, port: int) -> str:
    """Return the host as known_hosts writes it: bare on port 22, ``[host]:port`` elsewhere."""
    return address if port == PORT else f"[{address}]:{port}"


def _strict(settings: Settings) -> str:
    line = settings.single.get("stricthostkeychecking")
    value = line.words[0].lower() if line is not None else "yes"
    if line is not None and value in ("no", "false", "off"):
        return line.where
    return "accept-new" if value == "accept-new" else "yes"


def _persist(settings: Settings) -> float:
    """Return for how long ssh_config has a connection held that is not used, inf where it has no end."""
    line = settings.single.get("controlpersist")
    if line is None or settings.value("controlmaster") in (None, "no", "false"):
        return 0.0
    value = line.words[0].lower()
    if value in ("no", "false"):
        return 0.0
    return math.inf if value in _YES else seconds(line) or math.inf


def _is(settings: Settings, keyword: str, *, default: bool) -> bool:
    value = settings.value(keyword)
    return default if value is None else value.lower() in _YES


def _seconds(settings: Settings, keyword: str, default: float | None) -> float | None:
    line = settings.single.get(keyword)
    return default if line is None else seconds(line)


def _algorithms(settings: Settings) -> tuple[tuple[str, str], ...]:
    names = ("kexalgorithms", "ciphers", "macs", "hostkeyalgorithms")
    return tuple((name, value) for name in names if (value := settings.value(name)))


def _host_port(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, int(port[1:]) if port[1:].isdecimal() else None
    host, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and ":" not in host:
        return host, int(port)
    return text, None
