"""What watches a node's packet filter: a configuration, and a timer that has the node's agent look."""

from __future__ import annotations

from typing import Any

from vosctl.compile.desired import File
from vosctl.compile.text import document, render
from vosctl.site.model import Node

CONFIG = "/etc/vosctl/firewall/watch.json"
_UNITS = "/etc/systemd/system"
_NAME = "vosctl-firewall-watch"


def files(node: Node) -> tuple[File, ...]:
    """Return configuration and units, or none where nobody wants metrics or alerts of the packet filter."""
    watch = node.firewall.watch
    if watch is None or not node.firewall.enabled:
        return ()
    tree: dict[str, Any] = {
        "node": node.name,
        "textfile": watch.textfile or "",
        "conntrack": watch.conntrack,
        "drops": watch.drops,
        "bans": watch.bans,
        # Whoever knows the URL can write to where alerts are read.
        "webhook": watch.webhook.reveal() if watch.webhook else "",
    }
    seconds = int(watch.interval.total_seconds())
    return (
        File(CONFIG, document(tree), mode=0o600, secret=watch.webhook is not None),
        File(f"{_UNITS}/{_NAME}.service", render(f"firewall/{_NAME}.service.j2", config=CONFIG)),
        File(f"{_UNITS}/{_NAME}.timer", render(f"firewall/{_NAME}.timer.j2", seconds=seconds)),
        File(f"{_UNITS}/timers.target.d/50-{_NAME}.conf", render("firewall/watch.conf.j2", unit=_NAME)),
    )
