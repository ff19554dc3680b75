"""The media part of a release on this node: whether its C library loads, making it here, comparing two releases'."""

from __future__ import annotations

import io
import os
import posixpath
import sys

from vosctl.push.agent import command, durable, release
from vosctl.push.agent.digests import hex_sha256
from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vosctl.push.agent.node import Node

MEDIA = "lib/vosctl/relay/media"
LIBRARY = "libvosmedia.so"
SECONDS = 300.0
COMPILERS = ("cc", "gcc", "clang")
_SUFFIXES = (".py", ".so", ".c", ".h")


def can_compile() -> tuple[bool, str]:
    """Return whether this node has a C compiler, and what to install where it has none."""
    if any(map(command.find, COMPILERS)):
        return True, ""
    return False, "no C compiler: install gcc and libc6-dev (Debian, Ubuntu) or gcc (Rocky, Fedora)"


def ensure(node: Node, name: str) -> None:
    """See that the library of the release ``name`` loads here, compile it where it does not; what is missing is noted.

    Neither is an error: a relay without a data plane runs, refuses calls, and says why.
    """
    folder = f"{node.path(release.FOLDER)}/{name}"
    mark = durable.read_json(f"{folder}/{release.MARK}")
    program = f"{folder}/{MEDIA}/build.py"
    if not isinstance(mark, dict) or not os.path.exists(program):
        return
    inherited = _inherit(node, name)
    try:
        result = command.run((sys.executable, "-I", "-S", program, "--ensure"), seconds=SECONDS)
        built = inherited or result.out.strip() == "compiled"
        why = result.reason if result.code else ""
    except AgentError as error:
        built, why = False, error.message
    if built and not why:
        _sync(f"{folder}/{MEDIA}")
    told = {"version": mark["version"], "digest": mark["digest"]}
    if (built or mark.get("built")) and not why:
        told["built"] = True
    if why:
        told["missing"] = why
    if told != mark:
        durable.write_json(f"{folder}/{release.MARK}", told, mode=0o644)
        durable.sync_folder(folder)


def _inherit(node: Node, name: str) -> bool:
    """Give the release the library that was compiled here for the one in use, where the sources are the same."""
    if not _mark(node, None).get("built") or _sources(_files(node, None)) != _sources(_files(node, name)):
        return False
    with open(f"{_folder(node, None)}/{MEDIA}/{LIBRARY}", "rb") as stream:
        data = stream.read()
    durable.write(f"{_folder(node, name)}/{MEDIA}/{LIBRARY}", data, mode=0o755)
    return True


def _sync(folder: str) -> None:
    descriptor = os.open(f"{folder}/{LIBRARY}", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    durable.sync_folder(folder)


def missing(node: Node) -> str:
    """Return why the release in use has no data plane, "" when it has one."""
    return str(_mark(node, None).get("missing") or "")


def same(node: Node, name: str | None, archive: bytes | None) -> bool:
    """Return whether calls go on when the relay changes to the release ``name``, or to the one in ``archive``.

    They do where no file of the media process differs. A library that was compiled here is left out: it was
    made of files that are compared.
    """
    before = _files(node, None)
    after = _files(node, name) if archive is None else _packed(archive)
    if _mark(node, None).get("built"):
        before, after = (_sources(each) for each in (before, after))
    return before == after


def _sources(files: dict[str, str]) -> dict[str, str]:
    return {path: digest for path, digest in files.items() if not path.endswith(".so")}


def _mark(node: Node, name: str | None) -> dict[str, Any]:
    found = durable.read_json(f"{_folder(node, name)}/{release.MARK}")
    return found if isinstance(found, dict) else {}


def _folder(node: Node, name: str | None) -> str:
    return node.path(f"{release.FOLDER}/{name}" if name else release.LINK)


def _files(node: Node, name: str | None) -> dict[str, str]:
    """Return SHA-256 by path of the media process' files in a release (None: the one in use)."""
    top = f"{_folder(node, name)}/{MEDIA}"
    found = {}
    for place, _, names in os.walk(top):
        for each in filter(_is_media, names):
            path = f"{place}/{each}"
            with open(path, "rb") as stream:
                found[path[len(top) + 1 :]] = hex_sha256(stream.read())
    return found


def _packed(archive: bytes) -> dict[str, str]:
    import tarfile  # noqa: PLC0415  takes 5 ms, and most runs bring no release

    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:*") as tar:
        for member in tar:
            name = posixpath.normpath(member.name)
            if member.isreg() and name.startswith(MEDIA + "/") and _is_media(posixpath.basename(name)):
                stream = tar.extractfile(member)
                found[name[len(MEDIA) + 1 :]] = hex_sha256(stream.read() if stream else b"")
    return found


def _is_media(name: str) -> bool:
    return name.endswith(_SUFFIXES) and not name.startswith(".")
