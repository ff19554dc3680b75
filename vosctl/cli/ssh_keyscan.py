"""vosctl ssh-keyscan: host keys to compare, and into known_hosts once somebody said yes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from rich.text import Text

from vosctl.cli.loading import load_site
from vosctl.cli.nodes import push_options
from vosctl.cli.options import NodeArguments, SiteArguments, node_options, site_options
from vosctl.cli.screen import errors_to, output, print_json
from vosctl.cli.selection import narrowed
from vosctl.errors import HostError, UsageError
from vosctl.push import ssh_library  # noqa: F401  before all that imports paramiko
from vosctl.push.ssh_scan import HostKey, KeyScanner, Scan

_STYLES = {"known": "green", "new": "yellow", "changed": "bold red", "revoked": "bold red"}


@click.command("ssh-keyscan", short_help="Show host keys to compare, and accept them.")
@click.argument("nodes_to_scan", nargs=-1, metavar="[NODES]...")
@click.option("--accept", is_flag=True, help="Write new keys into known_hosts, after asking.")
@click.option(
    "--yes", is_flag=True, help="With --accept: do not ask. Compare the fingerprints in some other way."
)
@site_options
@node_options
def ssh_keyscan(
    site: SiteArguments, nodes: NodeArguments, *, nodes_to_scan: tuple[str, ...], accept: bool, yes: bool
) -> int:
    """Show each node's host keys as SHA256 fingerprints, and whether known_hosts has them.

    Compare them with what the node itself says (its console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)
    before you accept: the network is what they guard against. A key that differs from the one known is
    never written.
    """
    site = narrowed(site, nodes_to_scan)
    if accept and site.json and not yes:
        raise UsageError("--json cannot ask", hint="add --yes, or leave out --json")
    checked, _ = load_site(site)
    scanner = KeyScanner(push_options(site, nodes))
    scans = scanner.scan([checked.nodes[name] for name in checked.selected])
    if site.json:
        print_json([_record(scan) for scan in scans])
    else:
        _show(scans)
    fresh = _distinct([key for scan in scans for key in scan.keys if key.state == "new"])
    if accept and fresh and (yes or _agreed(fresh)):
        _write(scanner, fresh, quiet=site.json)
    return _code(scans)


def _show(scans: Sequence[Scan]) -> None:
    rows = [_row(scan, key) for scan in scans for key in scan.keys]
    titles = ("NODE", "HOST", "KEY", "FINGERPRINT", "KNOWN_HOSTS")
    widths = [max(len(row[at]) for row in (titles, *rows)) for at in range(len(titles) - 1)]
    for row in (titles, *rows) if rows else ():
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        output().print(
            Text("  ".join((*cells, ""))).append(row[-1], _STYLES.get(row[-1].partition(" ")[0], ""))
        )
    for scan in scans:
        if scan.error is not None:
            errors_to().print(f"vosctl: {scan.error}", style="bold red")
        for key in scan.keys:
            if key.state == "changed":
                errors_to().print(_refusal(scan, key), style="bold red")


def _row(scan: Scan, key: HostKey) -> tuple[str, ...]:
    node = f"{scan.node} (jump host)" if scan.jump else scan.node
    state = " ".join((key.state, ", ".join(key.where))).strip()
    return node, key.name, f"{key.kind} {key.key.get_bits()}", key.fingerprint, state


def _refusal(scan: Scan, key: HostKey) -> str:
    known = key.endpoint.known_hosts[0]
    return (
        f"vosctl: {scan.node}: the {key.kind} key of {key.name} is not the one in {', '.join(key.where)}\n"
        f"  if the host was set up anew, compare there, then: ssh-keygen -R '{key.name}' -f {known}"
    )


def _distinct(keys: Sequence[HostKey]) -> list[HostKey]:
    """Return keys without those that several nodes showed: one jump host, say."""
    return list({(key.endpoint.known_hosts[0], key.name, key.fingerprint): key for key in keys}.values())


def _agreed(keys: Sequence[HostKey]) -> bool:
    files = ", ".join(dict.fromkeys(str(key.endpoint.known_hosts[0]) for key in keys))
    hosts = len({key.name for key in keys})
    question = (
        f"Did you compare them? Write {len(keys)} new key{'s' * (len(keys) != 1)} of {hosts} "
        f"host{'s' * (hosts != 1)} into {files}?"
    )
    return click.confirm(question, err=True)


def _write(scanner: KeyScanner, keys: Sequence[HostKey], *, quiet: bool) -> None:
    for key in keys:
        try:
            where = scanner.accept(key)
        except OSError as error:
            raise UsageError(
                f"{key.endpoint.known_hosts[0]}: {error.strerror}", hint="--known-hosts names another file"
            ) from error
        if not quiet:
            errors_to().print(f"{where}: {key.name} {key.kind} {key.fingerprint}")


def _record(scan: Scan) -> dict[str, Any]:
    return {
        "node": scan.node,
        "jump": scan.jump,
        "error": str(scan.error) if scan.error is not None else None,
        "keys": [
            {
                "host": key.name,
                "type": key.kind,
                "bits": key.key.get_bits(),
                "fingerprint": key.fingerprint,
                "state": key.state,
                "where": list(key.where),
            }
            for key in scan.keys
        ],
    }


def _code(scans: Sequence[Scan]) -> int:
    """Return 4 where a node was not reached, 2 where a key has changed, else 0."""
    failed = [scan.error.exit_code for scan in scans if scan.error is not None]
    changed = any(key.state in ("changed", "revoked") for scan in scans for key in scan.keys)
    return max([*failed, HostError.exit_code if changed else 0])


COMMANDS = (ssh_keyscan,)
