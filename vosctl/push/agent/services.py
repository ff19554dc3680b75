"""Services: what has to happen to each, doing it, and putting it back."""

from __future__ import annotations

import os
import signal

from vosctl.push.agent import command, process, relay, systemd
from vosctl.push.agent.errors import AgentError
from vosctl.push.agent.initd import InitScript
from vosctl.push.agent.supervised import Supervised
from vosctl.push.agent.systemd import Systemd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any, Union

    from vosctl.push.agent.node import Node

    Runner = Union[Systemd, Supervised, InitScript]

RELEASE_LINK = "/opt/vosctl/current/"


def runner(node: Node, item: dict[str, Any]) -> Runner | None:
    """Return what drives a service on this node, None for a directory without its command."""
    if node.has_systemd:
        return Systemd(item["name"])
    if item.get("supervise"):
        return Supervised(node, item)
    return InitScript(item["name"]) if node.is_machine else None


def observe(node: Node, item: dict[str, Any], paths: Collection[str]) -> dict[str, Any]:
    """Return a service's state; ``known`` also when its unit is among the wanted files' ``paths``."""
    found = runner(node, item)
    if found is None:
        return {"state": item["state"], "enabled": item["enabled"], "known": False}
    known = found.known or unit(item["name"]) in paths
    state = "running" if found.known and found.running() else "stopped"
    return {"state": state, "enabled": found.enabled() if found.known else False, "known": known}


def unit(name: str) -> str:
    """Return the path of a service's own unit file."""
    return f"{systemd.UNITS}/{name}.service"


def due(
    item: dict[str, Any],
    found: dict[str, Any],
    *,
    files: Collection[str],
    reloads: Collection[str],
    restarts: Collection[str] = (),
    release: bool,
    systemd: bool,
) -> str:
    """Return what a wanted service needs: ``start``, ``stop``, ``restart``, ``upgrade``, ``reload`` or "".

    An upgrade is the relay's way to a new release: its media goes on where that has not changed.
    ``files``: the paths that change; ``reloads`` and ``restarts``: the services that they name (restart wins); ``release``: a new one came;
    ``systemd``: somebody reads unit files here. A changed one restarts its service, but not the relay: nothing
    in the relay's unit is worth its calls, and systemd takes it at the next start.
    """
    if item["state"] == "stopped":
        return "stop" if found["state"] == "running" else ""
    if found["state"] != "running":
        return "start"
    if item["name"] in restarts:
        return "restart"
    new_program = release and any(word.startswith(RELEASE_LINK) for word in item.get("supervise") or ())
    if systemd and unit(item["name"]) in files and item["name"] != relay.SERVICE:
        return "restart"
    if new_program:
        return "upgrade" if item["name"] == relay.SERVICE else "restart"
    return "reload" if item["name"] in reloads else ""


def save(node: Node, item: dict[str, Any], action: str) -> dict[str, Any]:
    """Return how a service is before ``action``, for ``restore``."""
    found = runner(node, item)
    record: dict[str, Any] = {"item": item, "action": action, "known": bool(found and found.known)}
    if found is not None and record["known"]:
        identity = found.identity()
        record.update(running=found.running(), enabled=found.enabled(), identity=identity)
        record["user"] = process.user(identity[0]) if identity else None
    return record


def act(node: Node, item: dict[str, Any], action: str) -> None:
    """Do ``action`` with a service and see that it worked; raises AgentError."""
    if action == "stop" and _stopped_without_unit(node, item):
        return
    found = _known(node, item)
    if action == "upgrade" and not _upgraded(node, item, found):
        action = "restart"
    if action == "reload":
        _reload(node, found)
    if action in ("stop", "restart"):
        found.stop()
    if action in ("start", "restart"):
        found.start()
    if action != "stop" and item["name"] == relay.SERVICE:
        relay.wait_for_config(node)


def _stopped_without_unit(node: Node, item: dict[str, Any]) -> bool:
    # Its unit or script may just have been removed, but what it had started goes on.
    found = runner(node, item)
    if found is None or found.known:
        return False
    if found.running():
        found.stop()
    return True


def enable(node: Node, item: dict[str, Any]) -> None:
    """Have a service started at boot or not, as wanted; raises AgentError."""
    found = runner(node, item)
    if found is not None and (item["enabled"] or found.known):
        _known(node, item).enable(item["enabled"])


def _known(node: Node, item: dict[str, Any]) -> Runner:
    found = runner(node, item)
    if found is None or not found.known:
        message = f"service {item['name']} is not known on the node"
        hint = (
            "no unit, init script or supervise command has this name: check the spelling, or list its package"
        )
        raise AgentError("unsupported", message, hint=hint, item=item["name"], step="services")
    return found


def hands_over(node: Node, item: dict[str, Any], found: Runner) -> bool:
    """Return whether the running relay can become another release.

    It has to listen for that, and to be the user that its files are for: one of root's, from before it
    had a user of its own, has none of root's powers and could not read them.
    """
    now = found.identity()
    if now is None or not process.handles(now[0], signal.SIGUSR1):
        return False
    return not (node.is_machine and "--user" in (item.get("supervise") or ()) and process.user(now[0]) == 0)


def _upgraded(node: Node, item: dict[str, Any], found: Runner) -> bool:
    """Tell the relay to become the release that the link names; return False when it cannot do that."""
    now = found.identity()
    return now is not None and hands_over(node, item, found) and process.send(*now, signal.SIGUSR1)


def _reload(node: Node, found: Runner) -> None:
    if found.name != relay.SERVICE or not relay.reload(node):
        found.reload()


def quiet(node: Node, record: dict[str, Any], *, booting: bool) -> None:
    """Stop and disable what ``save`` saw neither running nor enabled, while its unit or script is still there.

    Raises AgentError. While ``booting`` systemd is not asked to start or stop anything.
    """
    found = runner(node, record["item"])
    if found is None or not found.known:
        return
    if not record.get("running") and not (booting and node.has_systemd) and found.running():
        found.stop()
    if not record.get("enabled") and found.enabled():
        found.enable(False)


def restore(node: Node, record: dict[str, Any], *, booting: bool) -> None:
    """Bring a service back to what ``save`` recorded, after its files; raises AgentError.

    A process that is still the one of then was never restarted: it only has to read its files again.
    """
    found = runner(node, record["item"])
    if found is None or not record["known"]:
        return
    if record["enabled"] and not found.enabled():
        found.enable(True)
    if record["running"] and not (booting and node.has_systemd):
        _run_again(node, record, found)


def _run_again(node: Node, record: dict[str, Any], found: Runner) -> None:
    anew = record["action"] in ("start", "restart") and not _same(record["identity"], found.identity())
    if not found.running():
        act(node, record["item"], "start")
    elif record["action"] and not same_user(record, found):
        found.stop()
        if found.name == relay.SERVICE and record["user"] == 0:
            relay.give_back(node)
        act(node, record["item"], "start")
    elif anew:
        act(node, record["item"], "restart")
    elif record["action"] == "upgrade":
        act(node, record["item"], "upgrade")
    elif record["action"]:
        act(node, record["item"], "reload")


def _same(then: list[int] | None, now: tuple[int, int] | None) -> bool:
    return then is not None and now is not None and tuple(then) == now


def same_user(record: dict[str, Any], found: Runner) -> bool:
    """Return whether a service runs as the user of ``save``: it can become another release, but no other user."""
    now = found.identity()
    return now is None or record.get("user") in (None, process.user(now[0]))


def is_unit(path: str) -> bool:
    """Return whether a path is systemd's business."""
    return path.startswith(systemd.UNITS + "/")


read_units = systemd.read_units


def begin_timers(paths: Collection[str]) -> None:
    """Start or stop the timers among changed unit files, as their files came or went; raises AgentError."""
    for path in paths:
        if not is_unit(path) or not path.endswith(".timer"):
            continue
        name = os.path.basename(path)
        if os.path.exists(path):
            result = command.run(("systemctl", "restart", name), seconds=systemd.SECONDS)
            if result.code:
                message = f"systemctl restart {name}: {result.reason}"
                raise AgentError("io", message, item=name, step="services")
        else:  # its service is gone, and systemd may have taken that for a failure
            for verb in ("stop", "reset-failed"):
                command.run(("systemctl", verb, name), seconds=systemd.SECONDS)
