"""The first module that runs on a node: keeps a compiled copy of the archive and goes on from that."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

CACHE = "/run/vosctl/"


def start(archive: str, arguments: Sequence[str], code: bytes = b"") -> int:
    """Run the agent of the zip file ``archive``; return its exit code.

    Compiling the sources takes longer than all the rest of an idle run, so the byte code is kept
    beside the archive until the next reboot, for root alone to write. ``code`` is the byte code that
    came with the archive, of some Python's (``bundle.compiled``); an agent that shall not be kept
    runs from it in memory.
    """
    compiled = f"{archive}.{sys.implementation.cache_tag}.zip"
    if not archive.startswith(CACHE):
        compiled = _in_memory(_sent(code))
    elif not (_trusted(compiled) or _keep(archive, compiled, code)):
        compiled = ""
    if compiled:
        sys.path.insert(0, compiled)
        for name in [name for name in sys.modules if name.partition(".")[0] == "vosctl"]:
            del sys.modules[name]
    from vosctl.push.agent.main import main  # noqa: PLC0415  must come from the compiled copy

    return main(arguments, archive)


def _trusted(path: str) -> bool:
    import os  # noqa: PLC0415  the fewer imports before the copy is found the better

    try:
        status = os.stat(path)
    except OSError:
        return False
    return status.st_uid == 0 and not status.st_mode & 0o022


def _keep(archive: str, compiled: str, code: bytes) -> bool:
    import os  # noqa: PLC0415  only on the first run after a boot

    data = _sent(code) or _compile(archive)
    new = f"{compiled}.{os.getpid()}"
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(data)
        os.replace(new, compiled)
    except OSError:
        return False
    return True


def _in_memory(data: bytes) -> str:
    """Return where data can be read as a file as long as this process runs, "" for no data."""
    import os  # noqa: PLC0415

    if not data:
        return ""
    descriptor = os.memfd_create("code")
    with open(descriptor, "wb", closefd=False) as stream:
        stream.write(data)
    return f"/proc/self/fd/{descriptor}"


def _sent(code: bytes) -> bytes:
    """Return the zip file in the byte code that came, b"" where it is not this Python's."""
    import zlib  # noqa: PLC0415
    from importlib.util import MAGIC_NUMBER  # noqa: PLC0415

    size = len(MAGIC_NUMBER)
    return zlib.decompress(code[size:]) if code[:size] == MAGIC_NUMBER else b""


def _compile(archive: str) -> bytes:
    """Return the sources of the archive, compiled, as a zip file."""
    import io  # noqa: PLC0415
    import marshal  # noqa: PLC0415
    import zipfile  # noqa: PLC0415

    stream = io.BytesIO()
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(stream, "w") as target:
        for name in source.namelist():
            code = compile(source.read(name), name, "exec", dont_inherit=True, optimize=0)
            target.writestr(zipfile.ZipInfo(name + "c"), head() + marshal.dumps(code))
    return stream.getvalue()


def head() -> bytes:
    """Return what a .pyc file begins with, hash-based and unchecked (PEP 552): the archive's digest is in its name."""
    from importlib.util import MAGIC_NUMBER  # noqa: PLC0415

    return MAGIC_NUMBER + b"\1\0\0\0" + bytes(8)
