"""The state before an apply, whole and on disk before anything changes, and the way back to it.

A snapshot is a folder. Its manifest is small, as every confirmation reads those of the last applies; what is long lies
in files beside it, and only going back reads them: the old files under numbers, the agent's own documents as they
were, and the kernel's sets and rules.
"""

from __future__ import annotations

import os
from functools import partial

from vosctl.push.agent import clock, durable, files, firewall, release, room, services, sysctls, users
from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from vosctl.push.agent.node import Node
    from vosctl.push.agent.state import State
    from vosctl.push.agent.work import Work

KEPT = 5
# Which files a snapshot has; one of another layout cannot be gone back to, only removed.
LAYOUT = 2
MANIFEST = "manifest.json"
KERNEL = "kernel.json"
# Documents of the agent itself that an apply changes.
DOCUMENTS = ("applied", "firewall", "loaded")


def folder(node: Node, identity: str) -> str:
    """Return where the snapshot taken before the apply ``identity`` lies."""
    return node.state(f"snapshots/{identity}")


def take(state: State, work: Work, identity: str, holder: str) -> None:
    """Write the snapshot for ``work``; it appears under its name only when it is complete. Raises OSError, AgentError."""
    node = state.node
    new = folder(node, "." + identity)
    durable.remove_tree(new)
    os.mkdir(new, 0o700)
    paths = [item["path"] for item in work.put] + work.remove
    records = [files.save(node, path, f"{new}/{number}") for number, path in enumerate(paths)]
    places = {os.path.dirname(node.path(item["path"])) for item in work.put}
    manifest = {
        "layout": LAYOUT,
        "id": identity,
        "holder": holder,
        "time": clock.now(),
        "files": records,
        "folders": sorted({missing for place in places for missing in durable.missing_folders(place)}),
        "users": [users.save(node, item) for item, _ in work.users],
        "release": {"link": release.current(node)} if work.release else None,
        "firewall": work.firewall is not None and work.before.kernel is not None,
        "sysctls": {key: sysctls.read(key) for key, _ in work.settings},
        "services": [
            services.save(node, work.earlier(item), action) for item, action in _service_actions(work)
        ],
        "documents": _save_documents(state, new),
        "after": work.applied.get("id"),
    }
    if manifest["firewall"]:
        durable.create(f"{new}/{KERNEL}", durable.packed(firewall.save(work.before)))
    rooms = room.needed(node, new, records)
    own = f"{new}/{room.NAME}"
    room.keep(own, rooms.pop(own))
    manifest["rooms"] = rooms
    durable.create(f"{new}/{MANIFEST}", durable.packed(manifest))
    durable.sync_folder(new)
    durable.remove_tree(folder(node, identity))
    os.rename(new, folder(node, identity))
    durable.sync_folder(node.state("snapshots"))


def keep_rooms(node: Node, identity: str) -> None:
    """Set aside what going back needs on other disks than the snapshot's; raises OSError.

    The apply must be pending: only then somebody gives it up again whatever happens.
    """
    for path, size in ((manifest(node, identity) or {}).get("rooms") or {}).items():
        room.keep(path, size)


def give_up_rooms(node: Node, identity: str) -> None:
    """Free what ``keep_rooms`` set aside; raises OSError. The room beside the snapshot stays for a rollback."""
    for path in (manifest(node, identity) or {}).get("rooms") or ():
        durable.discard(path)


def add_setting(node: Node, identity: str, key: str, value: str) -> None:
    """Have a snapshot restore a setting, too, that came only with the rules just loaded; raises OSError."""
    found = manifest(node, identity) or {"sysctls": {}}
    found["sysctls"][key] = value
    durable.write_json(f"{folder(node, identity)}/{MANIFEST}", found)


def _service_actions(work: Work) -> list[tuple[dict[str, Any], str]]:
    acted = {item["name"] for item, _ in work.actions}
    return work.actions + [(item, "") for item in work.enable if item["name"] not in acted]


def manifest(node: Node, identity: str) -> dict[str, Any] | None:
    """Return a snapshot's manifest, None when there is no such snapshot, or another version of vosctl took it."""
    found = durable.read_json(f"{folder(node, identity)}/{MANIFEST}")
    return found if isinstance(found, dict) and found.get("layout") == LAYOUT else None


def restore(state: State, identity: str, *, booting: bool = False) -> list[str]:
    """Bring the node back to a snapshot; return what did not work, [] when the node is as it was.

    While ``booting`` systemd starts services itself, after this, and must not be asked to.

    Every part compares first and changes only what differs, so that it can be run again after it
    was killed at any point.
    """
    found = manifest(state.node, identity)
    if found is None:
        return [f"snapshot {identity} is missing, unreadable or of another version of vosctl"]
    node = state.node
    errors: list[str] = []
    _attempt(errors, "room", partial(give_up_rooms, node, identity))
    durable.discard(f"{folder(node, identity)}/{room.NAME}")
    for record in found["services"]:
        name = record["item"]["name"]
        _attempt(errors, f"service {name}", partial(services.quiet, node, record, booting=booting))
    for record in found["files"]:
        _attempt(errors, record["path"], partial(files.restore, node, record, folder(node, identity)))
    for path in reversed(found["folders"]):
        _remove_folder(path)
    for record in found.get("users") or ():
        _attempt(errors, f"user {record['name']}", partial(users.restore, node, record))
    if found["release"] is not None:
        _attempt(errors, "release", partial(release.restore, node, found["release"]["link"]))
    if found["firewall"]:
        _attempt(errors, "firewall", partial(_restore_firewall, node, f"{folder(node, identity)}/{KERNEL}"))
        _attempt(errors, "bans", partial(_put_back_bans, state))
    for key, value in found["sysctls"].items():
        _attempt(errors, f"sysctl {key}", partial(_restore_setting, key, value))
    _restore_services(node, found, errors, booting=booting)
    for name in DOCUMENTS:
        place = f"{folder(node, identity)}/{name}.json" if name in found["documents"] else ""
        _attempt(errors, name, partial(_restore_document, state, name, place))
    return errors


def _attempt(errors: list[str], what: str, restore_one: Callable[[], None]) -> None:
    try:
        restore_one()
    except AgentError as error:
        errors.append(f"{what}: {error.message}")
    except OSError as error:
        errors.append(f"{what}: {error.strerror or error}")


def _remove_folder(path: str) -> None:
    try:
        os.rmdir(path)
        durable.sync_folder(os.path.dirname(path))
    except OSError:
        # Somebody else put something there since, or it was never made.
        return


def _save_documents(state: State, new: str) -> list[str]:
    """Copy the agent's documents; return the names of those that there are."""
    there = []
    for name in DOCUMENTS:
        data = state.saved(name)
        if data is not None:
            durable.create(f"{new}/{name}.json", data)
            there.append(name)
    return there


def _restore_document(state: State, name: str, place: str) -> None:
    data = durable.read(place) if place else None
    if data is None and place:
        raise AgentError("io", f"{place} is missing")
    if state.saved(name) != data:
        state.put_back(name, data)


def _restore_firewall(node: Node, place: str) -> None:
    saved = durable.read_json(place)
    if saved is None:
        raise AgentError("io", f"{place} is missing or unreadable")
    now = firewall.look(node)
    now.require()
    change = firewall.restored_change(saved, now)
    if change or set(now.sets) - change.keep:
        change.apply_sets()
        change.apply_rules()


def _put_back_bans(state: State) -> None:
    from vosctl.push.agent import bans  # noqa: PLC0415  not on the way forward

    bans.put_back(state)


def _restore_setting(key: str, value: str | None) -> None:
    if value is not None and not sysctls.equal(sysctls.read(key), value):
        sysctls.write(key, value)


def _restore_services(node: Node, found: dict[str, Any], errors: list[str], *, booting: bool) -> None:
    if node.has_systemd and any(services.is_unit(record["path"]) for record in found["files"]):
        _attempt(errors, "systemd", services.read_units)
        if not booting:
            paths = [record["path"] for record in found["files"]]
            _attempt(errors, "timers", partial(services.begin_timers, paths))
    for record in found["services"]:
        name = record["item"]["name"]
        _attempt(errors, f"service {name}", partial(services.restore, node, record, booting=booting))


def chain(state: State) -> list[str]:
    """Return the applies that can be taken back, the last one first."""
    return list(_records(state))


def _records(state: State) -> dict[str, dict[str, Any]]:
    """Return the manifests of the applies that can be taken back, the last one first."""
    found: dict[str, dict[str, Any]] = {}
    identity = state.applied().get("id")
    while identity and identity not in found:
        record = manifest(state.node, identity)
        if record is None:
            break
        found[identity] = record
        identity = record["after"]
    return found


def forget(state: State, identity: str) -> None:
    """Remove the snapshot of an apply that was taken back: many failed ones must not fill the disk."""
    if identity not in chain(state):
        durable.remove_tree(folder(state.node, identity))


def prune(state: State) -> None:
    """Remove snapshots but those of the last applies, and releases that none of these needs."""
    node = state.node
    keep = dict(list(_records(state).items())[:KEPT])
    links = [(record.get("release") or {}).get("link") for record in keep.values()]
    for name in os.listdir(node.state("snapshots")):
        if name not in keep:
            durable.remove_tree(folder(node, name))
    release.prune(node, links)
