"""What an operator adds to a node beside voice: files, users and services."""

from __future__ import annotations

from dataclasses import dataclass

from vosctl.site.tree import Mark


@dataclass(frozen=True, slots=True)
class FileSpec:
    """A file that the operator adds; ``content`` is final text (templates are rendered).

    ``reload`` and ``restart`` name services, ``validate`` a command with ``%s`` for the new content's place.
    """

    path: str
    content: str
    mode: int
    owner: str
    group: str
    secret: bool
    reload: str | None
    mark: Mark
    restart: str | None = None
    validate: str = ""


@dataclass(frozen=True, slots=True)
class UserSpec:
    """Somebody who can log in; None leaves a field as it is. ``keys``: the site says who may, by SSH keys."""

    name: str
    present: bool
    uid: int | None
    groups: tuple[str, ...] | None
    shell: str | None
    home: str
    keys: bool
    mark: Mark


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A service and the state it should be in (``running`` or ``stopped``)."""

    name: str
    state: str
    enabled: bool
    mark: Mark
