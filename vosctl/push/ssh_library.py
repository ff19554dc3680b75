"""Imports paramiko without ``invoke``, which its own ssh_config parser wants and nothing here uses: 40 ms of each start.

Whoever opens connections imports this before anything else that imports paramiko.
"""

from __future__ import annotations

import sys

if "invoke" not in sys.modules:
    sys.modules["invoke"] = None  # type: ignore[assignment]
    import paramiko  # noqa: F401

    del sys.modules["invoke"]
