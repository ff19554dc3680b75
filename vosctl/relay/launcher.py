"""The script by which each relay process starts, under ``python3 -I -S``: it finds the package beside itself."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from vosctl.relay.__main__ import main

    raise SystemExit(main(sys.argv[1:]))
