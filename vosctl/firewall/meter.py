"""How much one source and its whole network may send: hashlimit tables that no flood of sources fills."""

from __future__ import annotations

import hashlib

from vosctl.firewall import ir
from vosctl.site.model import Budget

SOURCE_BITS = {4: 32, 6: 128}
NETWORK_BITS = {4: 24, 6: 64}
ALL_SOURCES = 0

# The kernel drops every new source, genuine ones included, while a table is full (xt_hashlimit.c). So
# each is as large as the kernel allows (its default is 65,536), and `fitting` keeps it from being full.
_ENTRIES = 1 << 20
_BUCKETS = 1 << 14
_SHORTEST_MEMORY = 2  # seconds
_LONGEST_MEMORY = 60
_CLEANING = 2  # seconds: expired entries go once a second
_TICKS_A_SECOND = 1_000_000


def over_budget(tag: str, budget: Budget, *, family: int, prefix: int) -> ir.Above:
    """Return the match for packets over ``budget`` of a source prefix; ``tag`` (3 letters) names the table.

    A source is forgotten as soon as its bucket would be full again anyway, after a minute at the
    latest, so that the table holds the more new ones. The name carries a digest of the parameters,
    since the kernel would go on with those of an old table of the same name.
    """
    expire = memory(budget)
    shape = f"{budget.rate} {budget.burst} {prefix} {_BUCKETS} {_ENTRIES} {expire}"
    digest = hashlib.sha256(shape.encode()).hexdigest()[:7]
    return ir.Above(
        name=f"vos-{tag}{digest}",
        rate=_counted(budget.rate),
        burst=budget.burst,
        prefix=min(prefix, SOURCE_BITS[family]),
        buckets=_BUCKETS,
        entries=_ENTRIES,
        expire=expire * 1000,
    )


def memory(budget: Budget) -> int:
    """Return for how many seconds without a packet a source is remembered."""
    refill = -(-budget.burst // budget.rate) + 1
    return min(max(refill, _SHORTEST_MEMORY), _LONGEST_MEMORY)


def fitting(*budgets: Budget) -> int:
    """Return how many packets a second fill no table of these budgets, each packet from another source."""
    return _ENTRIES // (max(map(memory, budgets)) + _CLEANING)


def _counted(rate: int) -> int:
    """Return the rate that the kernel makes of ``rate``: it keeps the time between packets, in whole ticks."""
    return _TICKS_A_SECOND // max(_TICKS_A_SECOND // rate, 1)
