"""Where an SSH connection goes and as whom: command line, then inventory, then ssh_config, then defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import paramiko

from vosctl.errors import UsageError
from vosctl.push.options import PushOptions
from vosctl.push.transport import own_login
from vosctl.site.model import Connection

PORT = 22
SYSTEM_CONFIG = Path("/etc/ssh/ssh_config")
SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")
DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One SSH server and how to log in there.

    ``known_as`` is the name in known_hosts; ``keys`` are tried in order, ``required`` are those that
    somebody named (a missing one is an error); ``jumps`` are passed first, in order.
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


class SshConfig:
    """Resolves connections; every ssh_config file is parsed once."""

    def __init__(self, options: PushOptions) -> None:
        self._options = options
        self._login, home = own_login()
        self._home = options.home or home
        self._parse = cache(_parse)

    def endpoint(self, connection: Connection) -> Endpoint:
        """Return where ``connection`` leads; raise UsageError for an ssh_config that cannot be read."""
        options = self._options
        settings = self._lookup(connection.host, options.ssh_config or connection.ssh_config)
        key = options.private_key or connection.private_key
        known = options.known_hosts or connection.known_hosts
        return self._endpoint(
            connection.host,
            settings,
            port=connection.port if connection.port != PORT else None,
            user=options.user or connection.user,
            key=key,
            known_hosts=known,
        )

    def jump(self, spec: str, connection: Connection) -> Endpoint:
        """Return the endpoint of one ``[user@]host[:port]`` of ProxyJump."""
        user, at, rest = spec.rpartition("@")
        host, port = _host_port(rest)
        settings = self._lookup(host, self._options.ssh_config or connection.ssh_config)
        return self._endpoint(
            host,
            settings,
            port=port,
            user=user if at else None,
            key=self._options.private_key or connection.private_key,
            known_hosts=self._options.known_hosts or connection.known_hosts,
        )

    def _endpoint(
        self,
        name: str,
        settings: Mapping[str, Any],
        *,
        port: int | None,
        user: str | None,
        key: Path | None,
        known_hosts: Path | None,
    ) -> Endpoint:
        address = str(settings.get("hostname", name))
        port = port or int(settings.get("port", PORT))
        alias = settings.get("hostkeyalias")
        named = (key,) if key else tuple(self._path(item) for item in settings.get("identityfile", ()))
        only = key is not None or settings.get("identitiesonly", "no") == "yes"
        return Endpoint(
            address=address,
            port=port,
            user=user or str(settings.get("user", self._login)),
            known_as=str(alias) if alias else known_name(address, port),
            known_hosts=(known_hosts,) if known_hosts else self._known_hosts(settings),
            keys=named or tuple(self._home / ".ssh" / name for name in DEFAULT_KEYS),
            required=key is not None,
            agent=self._options.agent and not only,
            jumps=_jumps(settings),
            proxy_command=None
            if settings.get("proxycommand") in (None, "none")
            else str(settings["proxycommand"]),
        )

    def _known_hosts(self, settings: Mapping[str, Any]) -> tuple[Path, ...]:
        own = settings.get("userknownhostsfile")
        files = (
            [self._path(item) for item in str(own).split()] if own else [self._home / ".ssh" / "known_hosts"]
        )
        return (*files, SYSTEM_KNOWN_HOSTS) if self._options.system_ssh else tuple(files)

    def _lookup(self, host: str, chosen: Path | None) -> Mapping[str, Any]:
        files = [chosen] if chosen else [self._home / ".ssh" / "config"]
        if self._options.system_ssh and not chosen:
            files.append(SYSTEM_CONFIG)
        settings: dict[str, Any] = {}
        for path in files:
            config = self._parse(path, path == chosen)
            if config is not None:
                settings = {**_looked_up(config, host, path), **settings}
        return settings

    def _path(self, text: str) -> Path:
        return self._home / text[2:] if text.startswith("~/") else Path(text)


def known_name(address: str, port: int) -> str:
    """Return the host as known_hosts writes it: bare on port 22, ``[host]:port`` elsewhere."""
    return address if port == PORT else f"[{address}]:{port}"


def _parse(path: Path, required: bool) -> paramiko.SSHConfig | None:  # noqa: FBT001  a cached function's key
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            config = paramiko.SSHConfig()
            config.parse(stream)
            return config
    except OSError as error:
        if not required:
            return None
        raise UsageError(f"{path}: {error.strerror}", hint="--ssh-config names an ssh_config file") from error
    except paramiko.SSHException as error:
        raise UsageError(
            f"{path}: {error}", hint="ssh -G HOST -F FILE says what OpenSSH makes of it"
        ) from error


def _looked_up(config: paramiko.SSHConfig, host: str, path: Path) -> dict[str, Any]:
    try:
        found = dict(config.lookup(host))
    except (paramiko.SSHException, ImportError) as error:
        raise UsageError(f"{path}: {error}", hint="Match exec needs PyPI's invoke; leave it out") from error
    # paramiko fills in what the file does not say; a later file may say it.
    if found.get("hostname") == host:
        found.pop("hostname")
    return found


def _jumps(settings: Mapping[str, Any]) -> tuple[str, ...]:
    value = str(settings.get("proxyjump", "none"))
    return () if value == "none" else tuple(item.strip() for item in value.split(",") if item.strip())


def _host_port(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, int(port[1:]) if port.startswith(":") else None
    host, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and ":" not in host:
        return host, int(port)
    return text, None
