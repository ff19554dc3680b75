"""What needs QEMU and the other architecture's libcrypto runs by `make cross` alone, which names their place."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("VOSCTL_CROSS") else ["test_aarch64_vectors.py"]
