"""Compiles the C data plane into one shared library, with nothing but a C compiler and this file."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Sequence, Tuple

SOURCES = Path(__file__).resolve().parent / "dataplane"
LIBRARY = Path(__file__).resolve().parent / "libvosmedia.so"
# Beside it, where it neither loads nor can be made: why that is. The relay's other half reads it.
MISSING = LIBRARY.with_suffix(".missing")
FLAGS = (
    "-std=c11",
    "-D_GNU_SOURCE",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fPIC",
    "-fvisibility=hidden",
    "-shared",
    "-pthread",
)
SANITIZE = (
    "-g",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=undefined",
    "-fno-omit-frame-pointer",
)


class BuildError(Exception):
    """The compiler is missing or refused the sources; the message holds what it said."""


def compiler() -> str:
    """Return the path of a C compiler; raise BuildError when there is none."""
    for name in ("cc", "gcc", "clang"):
        path = shutil.which(name)
        if path:
            return path
    raise BuildError("no C compiler: install gcc (Debian: apt-get install gcc libc6-dev)")


def compile(out_path: Path, *, extra: Sequence[str] = (), sources: Path = SOURCES) -> Path:  # noqa: A001 (the build hook's name for it)
    """Compile the data plane, or another folder of C ``sources``, to ``out_path`` and return it.

    The file appears whole or not at all: it is made beside its place and renamed. ``extra`` are further
    flags (``SANITIZE``). Raises BuildError with the compiler's words.
    """
    out = Path(out_path)
    made = out.with_name(f".{out.name}.{os.getpid()}")
    command = [compiler(), *FLAGS, *extra, "-o", str(made), *map(str, sorted(sources.glob("*.c"))), "-ldl"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        made.unlink(missing_ok=True)
        raise BuildError(f"{' '.join(command)}\n{done.stderr}")
    made.replace(out)
    return out


def fresh(out_path: Path) -> bool:
    """Return whether ``out_path`` is there and no source is younger."""
    if not out_path.exists():
        return False
    made = out_path.stat().st_mtime
    return all(made >= source.stat().st_mtime for source in SOURCES.glob("*.[ch]"))


def ensure() -> str:
    """Compile the library where the one that is there does not load; return ``ready`` or ``compiled``.

    A library of another architecture, or of a younger libc, does not load. Raises BuildError with the reason,
    which ``MISSING`` holds from then on.
    """
    try:
        done = "ready" if _loads() else compile(LIBRARY) and "compiled"
    except (BuildError, OSError) as error:
        why = f"no data plane for {platform.machine()}: {error}"
        MISSING.write_text(why + "\n")
        raise BuildError(why) from error
    MISSING.unlink(missing_ok=True)
    return str(done)


def _loads() -> bool:
    try:
        ctypes.CDLL(str(LIBRARY))
    except OSError:
        return False
    return True


def main(argv: Tuple[str, ...]) -> int:
    """Compile to the path given, or to where the relay looks for it, and return an exit code.

    With ``--ensure`` only what does not load is compiled.
    """
    try:
        if argv == ("--ensure",):
            sys.stdout.write(f"{ensure()}\n")
            return 0
        compile(Path(argv[0]) if argv else LIBRARY)
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:])))
