"""Compiles the lookup's C part, the way the relay's data plane is compiled."""

from __future__ import annotations

import sys
from pathlib import Path

from vosctl.rates.lookup.native import LIBRARY
from vosctl.relay.media.build import BuildError, compile  # noqa: A004 (the build hook's name for it)

SOURCES = Path(__file__).resolve().parent / "native"


def main() -> int:
    """Compile to where the lookup looks for it, and return an exit code."""
    try:
        compile(LIBRARY, sources=SOURCES)
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
