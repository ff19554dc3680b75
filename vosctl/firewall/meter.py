"""How much one source and its whole network may send: hashlimit tables that a flood of sources does not fill."""

from __future__ import annotations

import hashlib

from vosctl.firewall import ir
from vosctl.site.model import Budget

SOURCE_BITS = {4: 32, 6: 128}
NETWORK_BITS = {4: 24, 6: 64}

# A full table drops every new source, genuine ones included, so each is as large as the kernel allows
# (its default is 65,536); entries take memory only once there are such sources.
_ENTRIES = 1 << 20
_BUCKETS = 1 << 14
_SHORTEST_MEMORY = 2  # seconds
_TICKS_A_SECOND = 1_000_000


def over_budget(tag: str, budget: Budget, *, family: int, prefix: int) -> ir.Above:
    """Return the match for packets over ``budget`` of a source prefix; ``tag`` (3 letters) names the table.

    A source is forgotten as soon as its bucket would be full again anyway, so that the table holds
    the more new ones: 1,048,576 in that time. The name carries a digest of the parameters, since the
    kernel would go on with those of an old table of the same name.
    """
    refill = -(-budget.burst // budget.rate) + 1
    expire = max(refill, _SHORTEST_MEMORY)
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


def _counted(rate: int) -> int:
    """Return the rate that the kernel makes of ``rate``: it keeps the time between packets, in whole ticks."""
    return _TICKS_A_SECOND // max(_TICKS_A_SECOND // rate, 1)


def times(budget: Budget, factor: int) -> Budget:
    """Return the budget of a whole network: ``factor`` times that of one source."""
    return Budget(budget.rate * factor, budget.burst * factor)
