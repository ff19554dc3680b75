"""A look at the packet filter from time to time: writes the Prometheus textfile, tells who should know of trouble."""

from __future__ import annotations

import json
import os
import sys

from vosctl.push.agent import counters, durable, metrics
from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from vosctl.push.agent.node import Node

CONFIG = "/etc/vosctl/firewall/watch.json"
MEMORY = "firewall-watch"
RAISED = "firewall-alerts.json"
UNITS = {"conntrack": "% of the connections", "drops": "packets dropped a second", "bans": "% of the ban set"}
# An alert is over when its figure is well below the threshold, not when it wavers around it.
CLEARED_BELOW = 0.8
TIMEOUT = 5.0


class Alert:
    """A figure that crossed its threshold: ``state`` is ``raised`` or ``cleared``."""

    __slots__ = ("figure", "state", "threshold", "value")

    def __init__(self, state: str, figure: str, value: float, threshold: float) -> None:
        self.state = state
        self.figure = figure
        self.value = value
        self.threshold = threshold

    def __str__(self) -> str:
        word = "alert" if self.state == "raised" else "alert over"
        return f"{word}: firewall {self.figure} {self.value:.3g} {UNITS[self.figure]}, threshold {self.threshold:g}"

    def record(self, node: str) -> dict[str, Any]:
        """Return the alert as JSON can hold it."""
        return {"node": node, **{name: getattr(self, name) for name in self.__slots__}, "text": str(self)}


def watch(node: Node) -> int:
    """Take one look and return the exit code: 1 where it could not be taken or told of."""
    try:
        return _watch(node)
    except AgentError as error:
        sys.stderr.write(f"vosctl: {error.message}\n")
    except OSError as error:
        sys.stderr.write(f"vosctl: {error}\n")
    return 1


def _watch(node: Node) -> int:
    node.prepare()
    found = durable.read_json(node.path(CONFIG))
    config: dict[str, Any] = found if isinstance(found, dict) else {}
    counted = counters.read(node, memory=MEMORY)
    stored = durable.read_json(node.run(RAISED))
    raised: dict[str, float] = stored if isinstance(stored, dict) else {}
    alerts = judge(figures(counted), config, raised)
    durable.write_json(node.run(RAISED), raised)
    if config.get("textfile"):
        path = node.path(config["textfile"])
        durable.make_folders(os.path.dirname(path))
        shown = [(figure, figure in raised) for figure in UNITS if config.get(figure)]
        durable.write(path, metrics.page([metrics.samples(counted, alerts=shown)]).encode())
    heard = [_tell(alert, config) for alert in alerts]
    return 0 if all(heard) else 1


def figures(counted: dict[str, Any]) -> dict[str, float]:
    """Return what thresholds are about, as far as it is known; a first look knows no rate."""
    found: dict[str, float] = {}
    tracked = counted["conntrack"]
    if tracked and tracked["max"]:
        found["conntrack"] = 100.0 * tracked["count"] / tracked["max"]
    rates = [
        rule["rate"] for rule in counted["rules"] if rule["target"] == "DROP" and rule["rate"] is not None
    ]
    if rates:
        found["drops"] = sum(rates)
    bans = [item for item in counted["sets"] if item["name"].startswith("vos-ban") and item["room"]]
    if bans:
        found["bans"] = max(100.0 * item["members"] / item["room"] for item in bans)
    return found


def judge(now: dict[str, float], limits: dict[str, Any], raised: dict[str, float]) -> list[Alert]:
    """Return the alerts that begin or end; ``raised`` holds those that last, by figure, and is brought up to date."""
    return [alert for figure in UNITS for alert in _judge(figure, now, limits.get(figure) or 0, raised)]


def _judge(figure: str, now: dict[str, float], limit: float, raised: dict[str, float]) -> Iterator[Alert]:
    value = now.get(figure)
    if value is None:
        return  # not known is neither good nor bad
    if figure not in raised and limit and value >= limit:
        raised[figure] = limit
        yield Alert("raised", figure, value, limit)
    elif figure in raised and (not limit or value < limit * CLEARED_BELOW):
        yield Alert("cleared", figure, value, limit or raised.pop(figure))
        raised.pop(figure, None)


def _tell(alert: Alert, config: dict[str, Any]) -> bool:
    """Write the alert to syslog and post it, where a URL is set; return whether all heard."""
    import syslog  # noqa: PLC0415  most looks have nothing to say

    syslog.openlog("vosctl-firewall", 0, syslog.LOG_DAEMON)
    syslog.syslog(syslog.LOG_WARNING if alert.state == "raised" else syslog.LOG_NOTICE, str(alert))
    url = config.get("webhook")
    return _post(str(url), alert.record(str(config.get("node", "")))) if url else True


def _post(url: str, message: dict[str, Any]) -> bool:
    import urllib.request  # noqa: PLC0415  takes 50 ms, and most looks have nothing to say

    body = json.dumps(message).encode()
    try:
        # No proxy from the environment: the node talks to whom its site names.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        kind = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, body, kind, method="POST")  # noqa: S310  the schema asks for http(s)
        with opener.open(request, timeout=TIMEOUT):
            return True
    except (OSError, ValueError) as error:
        # The URL may be a secret, and an error may quote it: only its kind is told.
        sys.stderr.write(f"vosctl: the webhook did not hear an alert: {type(error).__name__}\n")
        return False
