"""A new site's first files: an inventory of the nodes named, who administers them, and a playbook."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from vosctl.compile.text import render
from vosctl.errors import UsageError
from vosctl.site.suggest import listed

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_HOST = re.compile(r"[A-Za-z0-9.:_-]+")
_FILES = {
    "inventory/hosts.yml": "site/hosts.yml.j2",
    "inventory/group_vars/all/main.yml": "site/main.yml.j2",
    "playbooks/site.yml": "site/site.yml.j2",
    ".gitignore": "site/gitignore.j2",
}


class Scaffold(Struct, frozen=True):
    """What is known of a new site: node → host (name or address), login, administrators, and SSH's ports."""

    hosts: Mapping[str, str]
    user: str
    admin: Sequence[str]
    ports: Sequence[int] = (22,)


def parse_hosts(words: Sequence[str]) -> dict[str, str]:
    """Return node → host of ``NAME=HOST`` and ``NAME``; raise UsageError for anything else, or a name twice."""
    found: dict[str, str] = {}
    for word in words:
        name, sign, host = word.partition("=")
        if not _NAME.fullmatch(name) or (sign and not _HOST.fullmatch(host)):
            raise UsageError(f"{word!r} names no node", hint="write NAME, or NAME=ADDRESS: edge-1=192.0.2.11")
        if name in found:
            raise UsageError(f"the node {name} is named twice")
        found[name] = host or name
    return found


def write(folder: Path, site: Scaffold) -> list[Path]:
    """Write the files below ``folder`` and return them; raise UsageError, and write none, where one is there."""
    there = [name for name in _FILES if (folder / name).exists()]
    if there:
        hint = "vosctl init begins a site; edit these, or go to an empty folder"
        raise UsageError(f"{listed(there)} exist{'s' if len(there) == 1 else ''} already", hint=hint)
    values = {
        "hosts": tuple((name, _quoted(host)) for name, host in site.hosts.items()),
        "user": site.user,
        "admin": [_quoted(each) for each in site.admin],
        "ports": site.ports,
        "count": len(site.hosts),
    }
    written = []
    for name, template in _FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(render(template, **values))
        written.append(path)
    return written


def _quoted(text: str) -> str:
    """Return the text as YAML: IPv6 addresses hold colons."""
    return f'"{text}"' if ":" in text else text
