"""Room that going back will need, kept from others on every disk that an apply writes to."""

from __future__ import annotations

import contextlib
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vosctl.push.agent.node import Node

NAME = ".vosctl-room"
BLOCK = 4096
# For the agent's own documents: journal, pending, applied state.
MARGIN = 65536


def existing(path: str) -> str:
    """Return the nearest folder at or above ``path`` that exists."""
    while path not in ("", "/") and not os.path.isdir(path):
        path = os.path.dirname(path)
    return path or "/"


def needed(node: Node, folder: str, records: list[dict[str, Any]]) -> dict[str, int]:
    """Return how many bytes going back to the saved files ``records`` needs, by the file that sets them aside.

    Going back writes the old files again. A disk that somebody else filled in the meantime must not keep
    the node from that. The copies of the files lie in ``folder``, and the room of that disk; on another disk
    it lies at the mount point, where nobody takes all files for configuration.
    """
    own = os.stat(folder).st_dev
    sizes = {own: MARGIN}
    places = {own: f"{folder}/{NAME}"}
    for record in records:
        if "blob" in record:
            place = existing(os.path.dirname(node.path(record["path"])))
            device = os.stat(place).st_dev
            places.setdefault(device, f"{_mount_point(place, device)}/{NAME}")
            sizes[device] = sizes.get(device, 0) + os.stat(f"{folder}/{record['blob']}").st_size + BLOCK
    return {places[device]: size for device, size in sizes.items()}


def keep(path: str, size: int) -> None:
    """Set ``size`` bytes aside in a file; raises OSError for a full disk."""
    # An ordinary user who keeps a directory as a node may not write to every mount point.
    with contextlib.suppress(PermissionError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
        finally:
            os.close(descriptor)


def _mount_point(place: str, device: int) -> str:
    while place != "/" and os.stat(os.path.dirname(place)).st_dev == device:
        place = os.path.dirname(place)
    return place.rstrip("/")
