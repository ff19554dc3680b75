"""One node's wanted state, from the site alone: the same site gives the same bytes, whenever and wherever."""

from __future__ import annotations

from collections.abc import Iterable

from vosctl.compile import firewall_watch, relay, sysctl
from vosctl.compile.desired import Desired, File, Release, Service, User
from vosctl.compile.firewall import packet_filter
from vosctl.compile.memo import Memo
from vosctl.compile.text import render
from vosctl.errors import VosctlError
from vosctl.site.model import Node, Site
from vosctl.site.own import FileSpec

_RELAY = "/opt/vosctl/current/bin/vosctl-relay"
_UNIT = "/etc/systemd/system/vosctl-relay.service"
_PIDFILE = "/run/vosctl-relay/supervisor.pid"
_FILES_PER_CALL = 8  # two legs of RTP and RTCP sockets, twice
_OTHER_FILES = 4096
_FEWEST_FILES = 1 << 16
_MOST_FILES = 1 << 20  # fs.nr_open's default: the kernel allows no more


def compile_node(site: Site, node: Node, release: Release | None, *, memo: Memo | None = None) -> Desired:
    """Return what ``node`` should be.

    ``release`` is the relay's archive for nodes that run it. ``memo`` carries results from node to
    node of one run. Raises VosctlError where the operator's own file stands in the way of a compiled one.
    """
    memo = memo or Memo()
    found = packet_filter(site, node, memo)
    files = [
        *found.files,
        *firewall_watch.files(node),
        *relay.files(site, node, memo),
        *_routes(site, node, memo),
        *sysctl.files(node),
    ]
    if node.relay.enabled:
        files.append(_relay_unit(node))
    return Desired(
        node=node.name,
        packages=tuple(sorted({*found.packages, *node.packages})),
        release=release if node.relay.enabled else None,
        files=_files(node, files),
        sets=found.sets,
        rulesets=found.rulesets,
        sysctls=sysctl.sysctls(node),
        services=_services(node),
        accounts=(relay.ACCOUNT,) if node.relay.enabled else (),
        users=tuple(
            User(each.name, each.present, each.uid, each.groups, each.shell, each.home, each.keys)
            for each in node.users
        ),
    )


def _routes(site: Site, node: Node, memo: Memo) -> tuple[File, ...]:
    if not node.rates.groups:
        return ()
    from vosctl.compile import routes  # noqa: PLC0415  20 ms of rating, for nodes that sell something

    return routes.files(site, node, memo)


def _relay_unit(node: Node) -> File:
    calls = node.media.calls
    limit = min(max(_FEWEST_FILES, calls * _FILES_PER_CALL + _OTHER_FILES), _MOST_FILES)
    return File(
        _UNIT,
        render(
            "relay/vosctl-relay.service.j2",
            calls=calls,
            files=limit,
            account=relay.ACCOUNT,
            kernel_path=node.relay.kernel_path,
        ),
    )


def _files(node: Node, compiled: Iterable[File]) -> tuple[File, ...]:
    files = {file.path: file for file in compiled}
    for spec in node.files:
        if spec.path in files:
            raise VosctlError(
                f"{spec.mark}: files.{spec.path}: vosctl writes this file itself",
                hint="take the entry out, and set what it was for in the firewall, sysctl or relay tree",
            )
        files[spec.path] = _own_file(spec)
    return tuple(file for _, file in sorted(files.items()))


def _own_file(spec: FileSpec) -> File:
    content = spec.content.encode()
    return File(
        spec.path, content, spec.mode, spec.owner, spec.group, spec.secret,
        spec.reload, spec.restart, spec.validate, str(spec.mark),
    )  # fmt: skip


def _services(node: Node) -> tuple[Service, ...]:
    services = {spec.name: Service(spec.name, spec.state, spec.enabled) for spec in node.services}
    if node.relay.enabled:
        own = services.get(relay.SERVICE, Service(relay.SERVICE))
        services[relay.SERVICE] = Service(
            relay.SERVICE,
            own.state,
            own.enabled,
            (_RELAY, "supervise", "--user", relay.ACCOUNT),
            _PIDFILE,
            int(node.relay.drain.total_seconds()),
        )
    return tuple(service for _, service in sorted(services.items()))
