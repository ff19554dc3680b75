"""The relay's releases under /opt/vosctl: unpacking one, and the link that says which is in use."""

from __future__ import annotations

import binascii
import io
import os
import posixpath

from vosctl.push.agent import durable
from vosctl.push.agent.digests import hex_sha256
from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterable
    from typing import Any

    from vosctl.push.agent.node import Node

FOLDER = "/opt/vosctl/releases"
LINK = "/opt/vosctl/current"
MARK = ".vosctl-release.json"
MAX_UNPACKED = 256 * 1024 * 1024


def name_of(release: dict[str, Any]) -> str:
    """Return a release's folder name."""
    return f"{release['version']}-{release['digest'][:12]}"


def observe(node: Node) -> dict[str, Any] | None:
    """Return version and digest of the release in use, None when there is none that is whole."""
    found = durable.read_json(f"{node.path(LINK)}/{MARK}")
    if not isinstance(found, dict):
        return None
    return {
        key: found.get(key) for key in ("version", "digest", "missing") if key != "missing" or key in found
    }


def current(node: Node) -> str | None:
    """Return what the link points to, None when there is no link."""
    try:
        return os.readlink(node.path(LINK))
    except OSError:
        return None


def is_unpacked(node: Node, release: dict[str, Any]) -> bool:
    """Return whether a release lies on the node whole."""
    found = durable.read_json(f"{node.path(FOLDER)}/{name_of(release)}/{MARK}")
    return isinstance(found, dict) and found.get("digest") == release["digest"]


def decode(text: str, release: dict[str, Any]) -> bytes:
    """Return the archive in base64 ``text`` when it is the release's; raises AgentError."""
    try:
        archive = binascii.a2b_base64(text)
    except (binascii.Error, ValueError, TypeError) as error:
        raise AgentError(
            "unsupported", "the release archive is not base64", item="release", step="release"
        ) from error
    if hex_sha256(archive) != release["digest"]:
        raise AgentError("io", "the release archive has not its digest", item="release", step="release")
    return archive


def members(archive: bytes) -> list[tarfile.TarInfo]:
    """Return an archive's members when all are safe to unpack; raises AgentError naming the one that is not."""
    import tarfile  # noqa: PLC0415  takes 5 ms, and most runs bring no release

    found: list[tarfile.TarInfo] = []
    links: set[str] = set()
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:*") as tar:
            for member in tar:
                _check_member(member, links)
                found.append(member)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise AgentError(
            "io", f"the release archive cannot be read: {error}", item="release", step="release"
        ) from error
    if unpacked_size(found) > MAX_UNPACKED:
        raise AgentError(
            "unsupported", f"the release unpacks to more than {MAX_UNPACKED} bytes", step="release"
        )
    return found


def unpacked_size(found: Iterable[tarfile.TarInfo]) -> int:
    """Return how many bytes an archive's members take on a disk with 4 KiB blocks."""
    return sum(4096 + (member.size + 4095) // 4096 * 4096 for member in found)


def _check_member(member: tarfile.TarInfo, links: set[str]) -> None:
    if not (member.isreg() or member.isdir() or member.issym()):
        raise _unsafe(member, "is neither a file, a folder nor a symbolic link")
    if _leaves(member.name):
        raise _unsafe(member, "lies outside of the release")
    if member.issym():
        target = posixpath.join(posixpath.dirname(member.name), member.linkname)
        if member.linkname.startswith("/") or _leaves(target):
            raise _unsafe(member, "points outside of the release")
    name = posixpath.normpath(member.name)
    if any(name == link or name.startswith(link + "/") for link in links):
        raise _unsafe(member, "lies below a link")
    if member.issym():
        links.add(name)


def _leaves(name: str) -> bool:
    return name.startswith("/") or posixpath.normpath(name).split("/")[0] == ".." or "\0" in name


def _unsafe(member: tarfile.TarInfo, why: str) -> AgentError:
    return AgentError(
        "denied",
        f"release archive: {member.name!r} {why}",
        hint="build the release anew",
        item="release",
        step="release",
    )


def unpack(node: Node, release: dict[str, Any], archive: bytes) -> None:
    """Unpack a release into its folder, which appears only when all is on disk; raises AgentError, OSError."""
    import tarfile  # noqa: PLC0415  as above

    found = members(archive)
    folder = node.path(FOLDER)
    target = f"{folder}/{name_of(release)}"
    new = f"{folder}/.{name_of(release)}.vosctl-new"
    durable.remove_tree(new)
    durable.make_folders(folder)
    os.mkdir(new, 0o755)
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:*") as tar:
        for member in found:
            _unpack_member(tar, member, new)
    durable.write_json(f"{new}/{MARK}", {key: release[key] for key in ("version", "digest")}, mode=0o644)
    for place, _, _ in os.walk(new):
        durable.sync_folder(place)
    durable.remove_tree(target)
    os.rename(new, target)
    durable.sync_folder(folder)


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: str) -> None:
    path = f"{folder}/{posixpath.normpath(member.name)}"
    os.makedirs(path if member.isdir() else os.path.dirname(path), 0o755, exist_ok=True)
    if member.issym():
        os.symlink(member.linkname, path)
    elif member.isreg():
        stream = tar.extractfile(member)
        data = stream.read() if stream else b""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as output:
            output.write(data)
            os.fchmod(descriptor, 0o755 if member.mode & 0o100 else 0o644)
            output.flush()
            os.fsync(descriptor)


def switch(node: Node, release: dict[str, Any]) -> None:
    """Point the link at an unpacked release; raises OSError."""
    durable.link(node.path(LINK), f"releases/{name_of(release)}")


def restore(node: Node, target: str | None) -> None:
    """Point the link at what ``current`` said before; raises OSError."""
    durable.discard(durable.staging(node.path(LINK)))
    if target == current(node):
        return
    if target is None:
        durable.discard(node.path(LINK))
    else:
        durable.link(node.path(LINK), target)


def prune(node: Node, keep: Iterable[str | None]) -> None:
    """Remove releases but the one in use and those that the links ``keep`` point to."""
    names = {os.path.basename(target) for target in (*keep, current(node)) if target}
    try:
        found = os.listdir(node.path(FOLDER))
    except OSError:
        return
    for name in found:
        if name not in names:
            durable.remove_tree(f"{node.path(FOLDER)}/{name}")
