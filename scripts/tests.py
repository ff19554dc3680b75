"""Runs the tests: those that bear company side by side, and beside them, first in line for a core, those that keep a pace.

    python scripts/tests.py [PATH...]

Real daemons, kernels and clocks take part, and side by side on a small machine one may answer too late. So
files with a failure are run once more, whole, with nothing beside them. What fails there too is a failure;
what passes is named at the end, for it deserves a look. More than a few such files are never chance.

Tests that keep a pace mostly wait. Root can let them go first whenever they want a core, so that they need not be
alone for it; for anybody else they come after the others.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

FEW = 5
NOTHING_CHOSEN = 5  # pytest's word for it
CACHES = {"not alone": ".pytest_cache", "alone": ".pytest_cache/alone"}
SPREAD = ("--numprocesses", "auto", "--dist", "loadfile")
FIRST_IN_LINE = ("nice", "-n", "-10")


def main(paths: Sequence[str]) -> int:
    """Run both kinds; return 0 where all passed in the end, else pytest's exit code."""
    for chosen in CACHES:
        failures(chosen).unlink(missing_ok=True)
    with tempfile.TemporaryFile("w+") as said:
        paced = start("alone", paths, said) if os.geteuid() == 0 else None
        codes = {"not alone": finished(start("not alone", (*SPREAD, *paths)))}
        codes["alone"] = finished(paced or start("alone", paths))
        said.seek(0)
        print(said.read(), flush=True)
    late: list[str] = []
    for chosen, code in codes.items():
        if code == 1 and 0 < len(files := failed_files(chosen)) <= FEW:
            print(f"\nonce more, with nothing beside them: {' '.join(files)}", flush=True)
            codes[chosen] = finished(start(chosen, files))
            late.extend(files)
    if late and not any(codes.values()):
        print(f"\nPASSED ONLY ALONE, have a look: {' '.join(late)}")
    return next((code for code in codes.values() if code), 0)  # negative where a signal ended it


def start(chosen: str, arguments: Sequence[str], said: IO[str] | None = None) -> subprocess.Popen[str]:
    """Start pytest on the tests with that mark; where ``said`` takes what it says, first in line for a core."""
    command = (sys.executable, "-m", "pytest", "-m", chosen, "-o", f"cache_dir={CACHES[chosen]}", *arguments)
    return subprocess.Popen(
        (*FIRST_IN_LINE, *command) if said else command,
        stdout=said, stderr=subprocess.STDOUT if said else None, text=True,
    )  # fmt: skip


def finished(run: subprocess.Popen[str]) -> int:
    """Return the exit code of a pytest, 0 where there was no test to run."""
    code = run.wait()
    return 0 if code == NOTHING_CHOSEN else code


def failures(chosen: str) -> Path:
    """Return where pytest notes what failed."""
    return Path(CACHES[chosen]) / "v/cache/lastfailed"


def failed_files(chosen: str) -> list[str]:
    """Return the files that the last run's failures are in, as its cache names them."""
    if not failures(chosen).exists():
        return []
    return sorted({name.partition("::")[0] for name in json.loads(failures(chosen).read_text())})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
