"""What an operator adds to a node beside voice: files, users and services."""

from __future__ import annotations

from msgspec import Struct

from vosctl.site.tree import Mark


class FileSpec(Struct, frozen=True):
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


class UserSpec(Struct, frozen=True):
    """Somebody who can log in; None leaves a field as it is. ``keys``: the site says who may, by SSH keys."""

    name: str
    present: bool
    uid: int | None
    groups: tuple[str, ...] | None
    shell: str | None
    home: str
    keys: bool
    mark: Mark


class ServiceSpec(Struct, frozen=True):
    """A service and the state it should be in (``running`` or ``stopped``)."""

    name: str
    state: str
    enabled: bool
    mark: Mark
