"""The release archive: the relay as one tar.gz that a node needs nothing but python3 and libcrypto to run."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path
from typing import Dict, Iterator, NamedTuple, Tuple

from vosctl import __version__
from vosctl.errors import RelayError
from vosctl.relay.media import build

PACKAGE = Path(__file__).resolve().parents[1]
LAUNCHER = b"""#!/usr/bin/env -S python3 -I -S
\"\"\"Runs the relay of the release that this file belongs to.\"\"\"

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))

from vosctl.relay.__main__ import main

raise SystemExit(main(sys.argv[1:]))
"""
_SHARED = ("__init__.py", "errors.py", "secret.py")
_SUFFIXES = frozenset({".py", ".c", ".h", ".so"})


class Release(NamedTuple):
    """A release: the package's version, the archive's SHA-256 in hex, and the archive."""

    version: str
    digest: str
    archive: bytes


def build_release() -> Release:
    """Return the release of this checkout or installation, the same bytes for the same files.

    The data plane is compiled first where that has not been done. Raises ``RelayError`` when it
    cannot be.
    """
    if not build.fresh(build.LIBRARY):
        _compile()
    archive = _pack(dict(_members()))
    return Release(__version__, hashlib.sha256(archive).hexdigest(), archive)


def _compile() -> None:
    try:
        build.compile(build.LIBRARY)
    except (build.BuildError, OSError) as error:
        # An installed package has its library, and need not have kept the times of its files.
        if not build.LIBRARY.exists():
            raise RelayError(f"the data plane cannot be compiled: {error}") from error


def _members() -> Iterator[Tuple[str, Tuple[int, bytes]]]:
    """Yield the path of each file in the archive with its mode and content."""
    yield "VERSION", (0o644, f"{__version__}\n".encode())
    yield "bin/vosctl-relay", (0o755, LAUNCHER)
    for name in _SHARED:
        yield f"lib/vosctl/{name}", (0o644, (PACKAGE / name).read_bytes())
    for path in (PACKAGE / "relay").rglob("*"):
        if path.suffix in _SUFFIXES and path.is_file() and not path.name.startswith("."):
            mode = 0o755 if path.suffix == ".so" else 0o644
            yield f"lib/vosctl/{path.relative_to(PACKAGE).as_posix()}", (mode, path.read_bytes())


def _pack(members: Dict[str, Tuple[int, bytes]]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(members):
            mode, content = members[name]
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            entry.uname = entry.gname = "root"
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), 9, mtime=0)
