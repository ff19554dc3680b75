"""Reads this machine's own chains with counters through python-iptables: legacy tables only.

On hosts with the nft backend libiptc sees empty chains, so callers ask only where the node says
``legacy``. The library keeps C globals: one thread at a time.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

PREFIX = "VOS-"
_NAMES = {4: Path("/proc/net/ip_tables_names"), 6: Path("/proc/net/ip6_tables_names")}
_LOCK = threading.Lock()


def read_own_chains() -> dict[str, dict[str, dict[str, list[dict[str, Any]]]]]:
    """Return family → table → own chain → rules in order.

    A rule is a dict of its matches and target as python-iptables names them, with ``packets`` and
    ``bytes`` counted. Raises OSError where the tables cannot be read (no root) and ImportError
    where python-iptables or libiptc is not there.
    """
    # Imported here: it loads libiptc, which most controllers never need.
    import iptc  # type: ignore[import-untyped]  # noqa: PLC0415

    with _LOCK:
        try:
            return {str(family): _family(iptc.easy, ipv6=family == 6) for family in _NAMES}
        except (iptc.IPTCError, iptc.XTablesError) as error:
            raise OSError(f"the legacy tables cannot be read: {error}") from error


def _family(easy: Any, *, ipv6: bool) -> dict[str, dict[str, list[dict[str, Any]]]]:
    found = {}
    for table in _tables(6 if ipv6 else 4):
        chains = [name for name in easy.get_chains(table, ipv6=ipv6) if name.startswith(PREFIX)]
        if chains:
            found[table] = {
                name: [_rule(raw) for raw in easy.dump_chain(table, name, ipv6=ipv6)] for name in chains
            }
    return found


def _tables(family: int) -> list[str]:
    """Tables that exist: opening another one would create it in the kernel."""
    try:
        return sorted(_NAMES[family].read_text(encoding="ascii").split())
    except FileNotFoundError:
        return []


def _rule(raw: dict[str, Any]) -> dict[str, Any]:
    packets, octets = raw.get("counters", (0, 0))
    return {
        **{name: value for name, value in raw.items() if name != "counters"},
        "packets": packets,
        "bytes": octets,
    }
