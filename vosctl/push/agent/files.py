"""Files on the node: what they are, replacing them as one batch, remembering and restoring them."""

from __future__ import annotations

import binascii
import contextlib
import grp
import os
import pwd
import stat

from vosctl.push.agent import durable
from vosctl.push.agent.digests import hex_sha256
from vosctl.push.agent.errors import AgentError, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from vosctl.push.agent.node import Node


def observe(
    node: Node, item: dict[str, Any], max_content: int, texts: Mapping[bytes, str] | None = None
) -> dict[str, Any]:
    """Return what is at a wanted file's path; its content too when it differs, is short and no secret.

    ``texts`` are those of rulesets that are observed with it, with their families: they travel once.
    """
    path = node.path(item["path"])
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return {"exists": False, "digest": None, "mode": 0, "owner": "", "group": ""}
    except OSError as error:
        raise from_os(error, step="inspect", item=item["path"]) from error
    found: dict[str, Any] = {"exists": True, "digest": None, "mode": stat.S_IMODE(status.st_mode)}
    found["owner"], found["group"] = _names(node, status, item)
    if stat.S_ISREG(status.st_mode):
        data = _read(path, item["path"])
        found["digest"] = hex_sha256(data)
        if found["digest"] != item["digest"] and not item.get("secret") and len(data) <= max_content:
            family = (texts or {}).get(data)
            base64 = "" if family else binascii.b2a_base64(data, newline=False).decode()
            found["content"] = {"ruleset": family} if family else base64
    return found


def _names(node: Node, status: os.stat_result, item: dict[str, Any]) -> tuple[str, str]:
    if not (node.owns_files and item.get("given", True)):
        return item["owner"], item["group"]
    owner = group = ""
    with contextlib.suppress(KeyError):
        owner = pwd.getpwuid(status.st_uid).pw_name
    with contextlib.suppress(KeyError):
        group = grp.getgrgid(status.st_gid).gr_name
    return owner or str(status.st_uid), group or str(status.st_gid)


def differs(found: dict[str, Any], item: dict[str, Any]) -> bool:
    """Return whether an observed file is not as wanted."""
    return any(found[key] != item[key] for key in ("digest", "mode", "owner", "group"))


def _read(path: str, name: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise from_os(error, step="inspect", item=name) from error


def content(item: dict[str, Any], items: dict[str, Any], found: dict[str, Any], node: Node) -> bytes:
    """Return a wanted file's bytes: as sent in ``items``, or as they lie there when only mode or owner differ."""
    path = item["path"]
    sent = (items.get("files") or {}).get(path)
    if sent is not None:
        data = _decode(sent, items, path)
    elif found["digest"] == item["digest"]:
        data = _read(node.path(path), path)
    else:
        raise AgentError(
            "unsupported", f"{path} differs and its content was not sent", item=path, step="check"
        )
    if hex_sha256(data) != item["digest"]:
        raise AgentError("io", f"the content sent for {path} has not its digest", item=path, step="check")
    return data


def _decode(sent: Any, items: dict[str, Any], path: str) -> bytes:
    """Return bytes that came as base64, or as the text of a ruleset that was sent with them."""
    try:
        if isinstance(sent, dict):
            return bytes(items["rulesets"][sent["ruleset"]], "utf-8")
        return binascii.a2b_base64(sent)
    except (binascii.Error, ValueError, TypeError, KeyError) as error:
        message = f"the content sent for {path} is neither base64 nor that of a ruleset"
        raise AgentError("unsupported", message, item=path) from error


def owner_ids(node: Node, item: dict[str, Any]) -> tuple[int, int]:
    """Return uid and gid for a file's owner and group names; raises AgentError for unknown ones."""
    if not (node.owns_files and item.get("given", True)):
        return -1, -1
    try:
        return pwd.getpwnam(item["owner"]).pw_uid, grp.getgrnam(item["group"]).gr_gid
    except KeyError as error:
        message = f"{item['path']}: owner {item['owner']}:{item['group']} is not known on the node"
        raise AgentError(
            "unsupported", message, hint="create the user and group first", item=item["path"], step="check"
        ) from error


def check_place(node: Node, path: str) -> None:
    """Check that a file can be put at ``path``; raises AgentError."""
    full = node.path(path)
    if os.path.isdir(full) and not os.path.islink(full):
        raise AgentError(
            "io", f"{path} is a directory", hint="remove it, or choose another path", item=path, step="check"
        )
    folder = os.path.dirname(full)
    missing = durable.missing_folders(folder)
    base = os.path.dirname(missing[0]) if missing else folder
    if os.path.lexists(missing[0] if missing else base) and missing:
        raise AgentError("io", f"{missing[0]} is not a directory", item=path, step="check")
    _check_links(node, base, path)
    for place in (base, full):
        check_writable(place, path)


def _check_links(node: Node, folder: str, name: str) -> None:
    # Whoever owns a link in the way could have root write somewhere else.
    while folder not in ("", "/", node.root):
        status = os.lstat(folder)
        if stat.S_ISLNK(status.st_mode) and status.st_uid not in (0, os.geteuid()):
            message = f"{folder} on the way to {name} is a link that belongs to uid {status.st_uid}"
            hint = "only root's links are followed: make it a folder"
            raise AgentError("denied", message, hint=hint, item=name, step="check")
        folder = os.path.dirname(folder)


def check_writable(place: str, name: str) -> None:
    """Check that an existing file or folder may be written; raises AgentError with the reason."""
    if not os.path.exists(place) or os.access(place, os.W_OK):
        return
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        raise from_os(OSError(30, "Read-only file system"), step="check", item=name)
    raise from_os(OSError(13, f"{place} may not be written"), step="check", item=name)


def save(node: Node, path: str, blob: str) -> dict[str, Any]:
    """Copy what is at ``path`` to the new file ``blob``, synced, and return how to restore it."""
    full = node.path(path)
    try:
        status = os.lstat(full)
    except (FileNotFoundError, NotADirectoryError):
        return {"path": path, "kind": "absent"}
    record = {"path": path, "uid": status.st_uid, "gid": status.st_gid, "mode": stat.S_IMODE(status.st_mode)}
    if stat.S_ISLNK(status.st_mode):
        return {**record, "kind": "link", "target": os.readlink(full)}
    if not stat.S_ISREG(status.st_mode):
        raise AgentError("io", f"{path} is neither a file nor a link", item=path, step="snapshot")
    data = _read(full, path)
    durable.create(blob, data)
    return {
        **record,
        "kind": "file",
        "blob": os.path.basename(blob),
        "digest": hex_sha256(data),
    }


def restore(node: Node, record: dict[str, Any], blobs: str) -> None:
    """Put back what ``save`` recorded, unless it is there already; raises OSError."""
    full = node.path(record["path"])
    durable.discard(durable.staging(full))
    if record["kind"] == "absent":
        if durable.discard(full):
            durable.sync_folder(os.path.dirname(full))
    elif record["kind"] == "link":
        if not (os.path.islink(full) and os.readlink(full) == record["target"]):
            durable.link(full, record["target"])
    elif not _is_as(full, record):
        with open(f"{blobs}/{record['blob']}", "rb") as stream:
            data = stream.read()
        ids = (record["uid"], record["gid"]) if node.owns_files else (-1, -1)
        durable.make_folders(os.path.dirname(full))
        durable.write(full, data, mode=record["mode"], uid=ids[0], gid=ids[1])


def _is_as(path: str, record: dict[str, Any]) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    same = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (
        record["mode"],
        record["uid"],
        record["gid"],
    )
    if not same or not stat.S_ISREG(status.st_mode):
        return False
    with open(path, "rb") as stream:
        return hex_sha256(stream.read()) == str(record["digest"])
