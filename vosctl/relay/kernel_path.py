"""Which processes may load the relay's program into the kernel: those of a site that asks for it, and how long."""

from __future__ import annotations

import json
from pathlib import Path
from typing import List, Tuple

# CAP_NET_ADMIN and CAP_BPF (linux/capability.h): to attach a program to a device, and to load one.
CAPABILITIES = (12, 39)


def addresses(config: Path) -> Tuple[str, ...]:
    """Return the addresses whose packets the kernel may forward: all of the relay's, none where it is not asked for.

    A file that cannot be read asks for nothing; control says what is wrong with it.
    """
    try:
        tree = json.loads(config.read_text(encoding="utf-8"))
        if tree.get("kernel_path") is not True:
            return ()
        found: List[str] = list(tree["addresses"])
        for interface in tree.get("interfaces", {}).values():
            found += interface["addresses"]
        return tuple(dict.fromkeys(map(str, found)))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ()
