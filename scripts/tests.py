"""Runs the tests: first those that bear company, side by side, then those that measure a pace, each alone.

    python scripts/tests.py [PATH...]

Real daemons, kernels and clocks take part, and side by side on a small machine one may answer too late. So
files with a failure are run once more, whole, with nothing beside them. What fails there too is a failure;
what passes is named at the end, for it deserves a look. More than a few such files are never chance.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FEW = 5
FAILED = Path(".pytest_cache/v/cache/lastfailed")
NOTHING_CHOSEN = 5  # pytest's word for it


def main(paths: Sequence[str]) -> int:
    """Run both kinds; return 0 where all passed in the end, else pytest's exit code."""
    late: list[str] = []
    for chosen, spread in (("not alone", ("--numprocesses", "auto", "--dist", "loadfile")), ("alone", ())):
        FAILED.unlink(missing_ok=True)
        code = pytest(chosen, *spread, *paths)
        if code == 1 and 0 < len(files := failed_files()) <= FEW:
            print(f"\nonce more, with nothing beside them: {' '.join(files)}", flush=True)
            code = pytest(chosen, *files)
            late.extend(files)
        if code:
            return code
    if late:
        print(f"\nPASSED ONLY ALONE, have a look: {' '.join(late)}")
    return 0


def pytest(chosen: str, *arguments: str) -> int:
    """Run pytest on the tests with that mark; return its exit code, 0 where there are none."""
    code = subprocess.run((sys.executable, "-m", "pytest", "-m", chosen, *arguments), check=False).returncode
    return 0 if code == NOTHING_CHOSEN else code


def failed_files() -> list[str]:
    """Return the files that the last run's failures are in, as its cache names them."""
    if not FAILED.exists():
        return []
    return sorted({name.partition("::")[0] for name in json.loads(FAILED.read_text())})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
