"""Checks before anything changes: room on the disks, places to write to, the rules."""

from __future__ import annotations

import os

from vosctl.push.agent import files, release, room, users, validation
from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vosctl.push.agent.node import Node
    from vosctl.push.agent.work import Work

BLOCK = 4096
# For the agent's own documents: journal, pending, applied state.
MARGIN = 256 * 1024


def check(work: Work, archive_size: int) -> None:
    """Raise AgentError for the first thing that would stop the work half-way."""
    work.load_archive()
    content = work.load_content()
    names = {item["name"] for item, action in work.users if action == "create"}
    for item, action in work.users:
        users.check(work.node, item, action, names)
    for item in work.put:
        files.check_place(work.node, item["path"])
    for path in work.remove:
        files.check_writable(os.path.dirname(work.node.path(path)), path)
    if work.release:
        place = room.existing(work.node.path(release.FOLDER))
        files.check_writable(place, release.FOLDER)
    _check_room(work, [(item["path"], len(data)) for item, data, _ in content], archive_size)
    if work.firewall:
        work.firewall.check(work.before)
    validation.check(work)


def _check_room(work: Work, sizes: list[tuple[str, int]], archive_size: int) -> None:
    node = work.node
    needs: dict[int, list[int]] = {}
    places: dict[int, str] = {}

    def need(path: str, size: int) -> None:
        place = room.existing(path)
        device = os.stat(place).st_dev
        places.setdefault(device, place)
        needs.setdefault(device, []).append((size + BLOCK - 1) // BLOCK * BLOCK)

    for path, size in sizes:
        need(os.path.dirname(node.path(path)), size)
        # The copy for the snapshot, and the room in which it will be written again.
        need(node.state("snapshots"), _size(node.path(path)))
        need(os.path.dirname(node.path(path)), _size(node.path(path)))
    need(node.state("snapshots"), MARGIN + archive_size)
    if work.archive is not None:
        need(node.path(release.FOLDER), release.unpacked_size(release.members(work.archive)))
    for device, wanted in needs.items():
        _check_device(node, places[device], sum(wanted), len(wanted))


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _check_device(node: Node, place: str, size: int, count: int) -> None:
    found = os.statvfs(place)
    blocks = found.f_bavail if os.geteuid() else found.f_bfree
    free = blocks * found.f_frsize
    if free < size:
        where = place[len(node.root) :] or "/"
        message = f"disk full: {where} has {free // 1024} KiB free, the apply needs {size // 1024} KiB"
        raise AgentError(
            "io", message, hint="make room on the node and apply again", item=where, step="check"
        )
    if found.f_files and found.f_ffree < count + 16:
        raise AgentError(
            "io",
            f"disk full: {place} has no inodes left",
            hint="remove files on the node",
            item=place,
            step="check",
        )
