"""The algorithm lists of ssh_config (``+``, ``-`` and ``^`` included) over what the library offers."""

from __future__ import annotations

from collections.abc import Sequence

from vosctl.errors import UsageError
from vosctl.push.ssh_config_rules import listed


def chosen(offered: Sequence[str], wish: str, *, keyword: str) -> tuple[str, ...]:
    """Return ``offered`` as ``wish`` has it; raise UsageError where nothing is left.

    A list stands for itself; ``-list`` takes away, ``^list`` puts first, ``+list`` adds to what a library
    does not offer by itself, of which there is nothing here.
    """
    patterns = wish.lstrip("+-^")
    if wish.startswith("+"):
        found = tuple(offered)
    elif wish.startswith("-"):
        found = tuple(name for name in offered if not listed(name, patterns))
    elif wish.startswith("^"):
        found = tuple(sorted(offered, key=lambda name: not listed(name, patterns)))
    else:
        found = tuple(name for name in patterns.split(",") if name in offered)
    if not found:
        raise UsageError(
            f"{keyword} {wish}: none of these is offered", hint=f"there are {', '.join(offered)}"
        )
    return found
