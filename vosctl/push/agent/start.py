"""The first module that runs on a node: keeps a compiled copy of the archive and goes on from that."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

CACHE = "/run/vosctl/"


def start(archive: str, arguments: Sequence[str]) -> int:
    """Run the agent of the zip file ``archive``; return its exit code.

    Compiling the sources takes longer than all the rest of an idle run, so the byte code is kept
    beside the archive until the next reboot, for root alone to write.
    """
    if archive.startswith(CACHE):
        compiled = f"{archive}.{sys.implementation.cache_tag}.zip"
        if _trusted(compiled) or _compile(archive, compiled):
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


def _compile(archive: str, compiled: str) -> bool:
    import importlib.util  # noqa: PLC0415  only on the first run after a boot
    import marshal  # noqa: PLC0415
    import os  # noqa: PLC0415
    import zipfile  # noqa: PLC0415

    # Hash-based and unchecked (PEP 552): the archive's own digest is in the file's name.
    head = importlib.util.MAGIC_NUMBER + b"\1\0\0\0" + bytes(8)
    new = f"{compiled}.{os.getpid()}"
    try:
        stream = open(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b")  # noqa: SIM115  closed below
        with stream, zipfile.ZipFile(archive) as source, zipfile.ZipFile(stream, "w") as target:
            for name in source.namelist():
                code = compile(source.read(name), name, "exec", dont_inherit=True, optimize=0)
                target.writestr(zipfile.ZipInfo(name + "c"), head + marshal.dumps(code))
        os.replace(new, compiled)
    except OSError:
        return False
    return True
