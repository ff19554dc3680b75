"""Builds one node from its merged variables."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from vosctl.site.model import Connection, Gateway, Media, Node, Trunk
from vosctl.site.objects.cron import build_cron
from vosctl.site.objects.fields import Fields, Workshop
from vosctl.site.objects.files import build_files, build_services, build_sysctl
from vosctl.site.objects.gateways import build_gateway
from vosctl.site.objects.media import Buffers, build_buffers, build_media, build_qos
from vosctl.site.objects.network import build_firewall, build_relay
from vosctl.site.objects.rates import build_rates
from vosctl.site.objects.routing import build_routing
from vosctl.site.objects.users import build_users, key_files
from vosctl.site.own import FileSpec
from vosctl.site.tree import Mapping as Tree
from vosctl.site.tree import Mark, plain

_SSH = 22
_KEYS = "authorized_keys"
_HIDDEN = ("keys", "files")


def build_node(
    name: str,
    groups: tuple[str, ...],
    mark: Mark,
    *,
    fields: Fields,
    trunks: Mapping[str, Trunk],
    shop: Workshop,
) -> Node:
    """Return the node; parts that several nodes share are made once. ``mark`` is its place in the inventory."""
    connection = _connection(name, fields)
    accounts = fields.below("users")
    users = build_users(accounts, connection, _KEYS)
    media_fields = fields.below("media")
    profiles = media_fields.below("jitter_buffers")
    buffers = shop.once("buffers", (profiles.tree,), lambda: build_buffers(profiles))
    media = shop.once("media", (media_fields.tree,), lambda: build_media(media_fields, buffers))
    qos, firewall, rates = fields.below("qos"), fields.below("firewall"), fields.below("rates")
    routing = fields.below("routing")
    sysctl, services, gateways = fields.below("sysctl"), fields.below("services"), fields.below("gateways")
    return Node(
        name=name,
        groups=groups,
        connection=connection,
        gateways=shop.once(
            "gateways",
            (gateways.tree, buffers),
            lambda: _gateways(gateways, media, buffers, shop),
            values=_inherited(media),
        ),
        trunks=trunks,
        qos=shop.once("qos", (qos.tree,), lambda: build_qos(qos)),
        media=media,
        firewall=shop.once("firewall", (firewall.tree,), lambda: build_firewall(firewall, mark)),
        sysctl=shop.once("sysctl", (sysctl.tree,), lambda: build_sysctl(sysctl)),
        relay=build_relay(fields.below("relay"), connection.host, mark),
        rates=shop.once("rates", (rates.tree,), lambda: build_rates(rates, shop)),
        files=_whole(
            fields,
            (
                _files(name, groups, connection.host, fields, shop),
                build_cron(fields.below("cron")),
                tuple(key_files(accounts, users, _KEYS)),
            ),
        ),
        users=users,
        routing=shop.once("routing", (routing.tree,), lambda: build_routing(routing, shop.folder)),
        packages=tuple(sorted(set(fields.texts("packages")))),
        services=shop.once("services", (services.tree,), lambda: build_services(services)),
        mark=mark,
    )


def _connection(name: str, fields: Fields) -> Connection:
    return Connection(
        kind=fields.text("connection") or "ssh",
        host=fields.text("host") or name,
        port=fields.integer("port") or _SSH,
        user=fields.text("user"),
        become=fields.boolean("become", default=False),
        private_key=_path(fields, "private_key"),
        ssh_config=_path(fields, "ssh_config"),
        known_hosts=_path(fields, "known_hosts"),
        root=_path(fields, "root"),
    )


def _path(fields: Fields, key: str) -> Path | None:
    text = fields.text(key)
    return Path(text).expanduser() if text else None


def _gateways(table: Fields, media: Media, buffers: Buffers, shop: Workshop) -> Mapping[str, Gateway]:
    found: dict[str, Gateway] = {}
    for name, entry in table.entries():
        mark = table.tree.key_marks.get(name, entry.tree.mark)
        make = _maker(name, entry, mark, media, buffers)
        gateway = shop.once(f"gateway {name}", (entry.tree, buffers), make, values=_inherited(media))
        if gateway is not None:
            found[name] = gateway
    return found


def _inherited(media: Media) -> Hashable:
    """Return what gateways take over: nodes that differ in other media settings share their gateways."""
    return media.proxy, media.ptime, media.jitter


def _maker(
    name: str, entry: Fields, mark: Mark, media: Media, buffers: Buffers
) -> Callable[[], Gateway | None]:
    return lambda: build_gateway(name, entry, mark, media=media, buffers=buffers)


def _files(
    name: str, groups: tuple[str, ...], host: str, fields: Fields, shop: Workshop
) -> tuple[FileSpec, ...]:
    table = fields.below("files")
    if not table.tree.items:
        return ()
    about = {"node": name, "groups": list(groups), "host": host}

    @cache
    def context(*, secret: bool) -> dict[str, Any]:
        return {**_open_variables(fields.tree, sealed=secret), **about}

    return build_files(table, shop.folder, context)


def _whole(fields: Fields, parts: tuple[tuple[FileSpec, ...], ...]) -> tuple[FileSpec, ...]:
    """Return the files of all ``parts``; one that two of them write is a problem."""
    found: dict[str, FileSpec] = {}
    for spec in (each for part in parts for each in part):
        known = found.setdefault(spec.path, spec)
        if known is not spec:
            message = f"{spec.path} is written here and at {known.mark}"
            hint = "keep one: a job set under cron, keys under users, or the file under files"
            fields.problems.error("file-twice", message, spec.mark, path=spec.path, hint=hint)
    return tuple(found.values())


def _open_variables(tree: Tree, *, sealed: bool) -> dict[str, Any]:
    """Return the variables that templates see: all but keys, passwords and the files themselves.

    Values that were encrypted are among them only for files that are secret themselves.
    """
    shown: dict[str, Any] = {
        key: plain(value, sealed=sealed) for key, value in tree.items.items() if key not in _HIDDEN
    }
    gateways = shown.get("gateways")
    for gateway in gateways.values() if isinstance(gateways, dict) else ():
        if isinstance(gateway, dict):
            gateway.pop("password", None)
    return shown
