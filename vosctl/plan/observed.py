"""What a node reported about itself, parsed once from the agent's JSON into frozen objects."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, TypeVar

from msgspec import Struct, field

T = TypeVar("T")
Raw = Mapping[str, Any]


class Ability(Struct, frozen=True):
    """Whether the node can be given a kind of thing; ``reason`` says why not."""

    ok: bool = True
    reason: str = ""


class FileState(Struct, frozen=True):
    """A file as it is; ``content`` is there when it differs, is not secret and not too long."""

    exists: bool
    digest: str
    mode: int
    owner: str
    group: str
    content: bytes | None


class SetState(Struct, frozen=True):
    """An ipset as the kernel holds it; ``members`` is there when it differs."""

    digest: str
    members: tuple[str, ...] | None


class RulesetState(Struct, frozen=True):
    """One family's own chains.

    ``loaded`` is the digest of what vosctl loaded since boot, ``text`` that ruleset's text; ``then``
    is what the kernel said right after loading, ``now`` what it says now; ``intact``: they agree.
    """

    loaded: str | None
    intact: bool
    then: str
    now: str
    text: str | None


class SysctlState(Struct, frozen=True):
    """A kernel setting; ``value`` None: this kernel has none; ``held``: it belongs to the host."""

    value: str | None
    writable: bool
    held: bool


class ServiceState(Struct, frozen=True):
    """A service's state (``running`` or ``stopped``); ``known``: the node has such a service."""

    state: str
    enabled: bool
    known: bool


class UserState(Struct, frozen=True):
    """A user as it is; ``same``: the node is a directory, which has no users of its own."""

    exists: bool
    same: bool
    fields: Raw


class Applied(Struct, frozen=True):
    """Digests (sysctls: values; reloads, restarts: services by file) of what the last apply left on the node."""

    revision: str | None = None
    release: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    sets: Mapping[str, str] = field(default_factory=dict)
    rulesets: Mapping[str, str] = field(default_factory=dict)
    sysctls: Mapping[str, str] = field(default_factory=dict)
    reloads: Mapping[str, str] = field(default_factory=dict)
    restarts: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, Raw] = field(default_factory=dict)


class SshPath(Struct, frozen=True):
    """The controller's connection as the node sees it (sshd's SSH_CONNECTION)."""

    client: IPv4Address | IPv6Address
    server: IPv4Address | IPv6Address
    port: int

    @classmethod
    def parse(cls, text: str) -> SshPath | None:
        """Return the path in ``client_ip client_port server_ip server_port``, None if it is not one.

        IPv4-mapped IPv6 addresses become IPv4; a scope (``%eth0``) is dropped.
        """
        words = text.split()
        if len(words) != 4 or not words[3].isdecimal():
            return None
        try:
            return cls(_address(words[0]), _address(words[2]), int(words[3]))
        except ValueError:
            return None


class Observed(Struct, frozen=True):
    """The whole observed state of one node, as far as the wanted state asked for it."""

    digest: str
    facts: Raw
    can: Mapping[str, Ability]
    lock: Raw | None
    pending: Raw | None
    packages: Mapping[str, bool]
    release: tuple[str, str] | None
    files: Mapping[str, FileState]
    sets: Mapping[str, SetState]
    rulesets: Mapping[int, RulesetState]
    sysctls: Mapping[str, SysctlState]
    services: Mapping[str, ServiceState]
    orphan_files: tuple[str, ...]
    orphan_sets: tuple[str, ...]
    orphan_chains: tuple[tuple[int, str], ...]
    applied: Applied | None = None
    accounts: Mapping[str, bool] = field(default_factory=dict)
    recovered: str = ""
    lacks: str = ""
    users: Mapping[str, UserState] = field(default_factory=dict)
    login: str = ""
    ssh: SshPath | None = None

    @property
    def is_machine(self) -> bool:
        """Whether the node is a whole machine and not a directory that stands for one."""
        return not self.facts.get("root")

    def ability(self, kind: str) -> Ability:
        """Return whether the node can be given ``kind`` (packages, firewall, sysctl)."""
        return self.can.get(kind, Ability())


def parse(raw: Raw, *, ssh: SshPath | None = None, login: str = "") -> Observed:
    """Return the agent's ``observed`` object as an Observed; raise ValueError where it makes no sense.

    ``login`` is the user that the controller logged in as.
    """
    try:
        return _parse(raw, ssh, login)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"unexpected shape: {type(error).__name__} {error}") from error


def _parse(raw: Raw, ssh: SshPath | None, login: str) -> Observed:
    facts = raw["facts"]
    release = raw["release"]
    orphans = raw["orphans"]
    return Observed(
        digest=str(raw["digest"]),
        facts=facts,
        can=_each(facts.get("can", {}), lambda item: Ability(bool(item[0]), str(item[1]))),
        lock=raw.get("lock"),
        pending=raw.get("pending"),
        packages=_each(raw["packages"], bool),
        release=(str(release["version"]), str(release["digest"])) if release else None,
        files=_each(raw["files"], lambda item: _file(item, raw["rulesets"])),
        sets=_each({name: item for name, item in raw["sets"].items() if item}, _set),
        rulesets={int(family): _ruleset(item) for family, item in raw["rulesets"].items()},
        sysctls=_each(
            raw["sysctls"], lambda i: SysctlState(i["value"], bool(i["writable"]), bool(i["held"]))
        ),
        services=_each(raw["services"], _service),
        orphan_files=tuple(map(str, orphans["files"])),
        orphan_sets=tuple(map(str, orphans["sets"])),
        orphan_chains=tuple((int(f), str(c)) for f, chains in orphans["chains"].items() for c in chains),
        applied=_applied(raw.get("applied")),
        accounts=_each(raw.get("accounts") or {}, bool),
        users=_each(
            raw.get("users") or {}, lambda i: UserState(bool(i["exists"]), bool(i.get("same")), dict(i))
        ),
        login=login,
        recovered=str(raw.get("recovered") or ""),
        lacks=str((release or {}).get("missing") or ""),
        ssh=ssh,
    )


def _each(raw: Raw, parse_one: Callable[[Any], T]) -> Mapping[str, T]:
    return {str(name): parse_one(item) for name, item in raw.items()}


def _file(raw: Raw, rulesets: Raw) -> FileState:
    return FileState(
        exists=bool(raw["exists"]),
        digest=str(raw.get("digest") or ""),
        mode=int(raw.get("mode") or 0),
        owner=str(raw.get("owner") or ""),
        group=str(raw.get("group") or ""),
        content=_content(raw.get("content"), rulesets),
    )


def _content(raw: Any, rulesets: Raw) -> bytes | None:
    """Return a file's bytes: sent as base64, or as the text of a ruleset that came with them."""
    if isinstance(raw, Mapping):
        return str(rulesets[raw["ruleset"]]["text"]).encode()
    return base64.b64decode(raw) if raw is not None else None


def _set(raw: Raw) -> SetState:
    members = raw.get("members")
    return SetState(str(raw.get("digest") or ""), tuple(map(str, members)) if members is not None else None)


def _ruleset(raw: Raw) -> RulesetState:
    return RulesetState(
        loaded=raw.get("loaded"),
        intact=bool(raw.get("intact")),
        then=str(raw.get("then") or ""),
        now=str(raw.get("now") or ""),
        text=raw.get("text"),
    )


def _service(raw: Raw) -> ServiceState:
    return ServiceState(str(raw["state"]), bool(raw["enabled"]), bool(raw["known"]))


def _applied(raw: Raw | None) -> Applied | None:
    if not raw:
        return None
    release = raw.get("release")
    return Applied(
        revision=raw.get("revision"),
        release=str(release["digest"]) if release else None,
        files=dict(raw.get("files") or {}),
        sets=dict(raw.get("sets") or {}),
        rulesets=dict(raw.get("rulesets") or {}),
        sysctls=dict(raw.get("sysctls") or {}),
        reloads=dict(raw.get("reloads") or {}),
        restarts=dict(raw.get("restarts") or {}),
        users=dict(raw.get("users") or {}),
    )


def _address(text: str) -> IPv4Address | IPv6Address:
    address = ip_address(text.partition("%")[0])
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
