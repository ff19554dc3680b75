"""How much one source and its whole network may send: hashlimit tables sized so that they never fill up."""

from __future__ import annotations

import hashlib

from vosctl.firewall import ir
from vosctl.site.model import Budget

SOURCE_BITS = {4: 32, 6: 128}
NETWORK_BITS = {4: 24, 6: 64}

# A full table drops every new source, genuine ones included, so it must hold all sources that can
# appear before the oldest is forgotten: no core gets more strangers' packets than this through the rules.
_NEW_SOURCES_A_SECOND = 200_000
_BUCKETS = 32_768
_SHORTEST_MEMORY = 5  # seconds


def over_budget(tag: str, budget: Budget, *, family: int, prefix: int) -> ir.Above:
    """Return the match for packets over ``budget`` of a source prefix; ``tag`` (3 letters) names the table.

    A source is forgotten once its bucket would be full again anyway. The name carries a digest of
    the parameters, since the kernel would go on with those of an old table of the same name.
    """
    refill = -(-budget.burst // budget.rate) + 1
    expire = max(refill, _SHORTEST_MEMORY)
    entries = _NEW_SOURCES_A_SECOND * expire
    shape = f"{budget.rate} {budget.burst} {prefix} {_BUCKETS} {entries} {expire}"
    digest = hashlib.sha256(shape.encode()).hexdigest()[:7]
    return ir.Above(
        name=f"vos-{tag}{digest}",
        rate=budget.rate,
        burst=budget.burst,
        prefix=min(prefix, SOURCE_BITS[family]),
        buckets=_BUCKETS,
        entries=entries,
        expire=expire * 1000,
    )


def times(budget: Budget, factor: int) -> Budget:
    """Return the budget of a whole network: ``factor`` times that of one source."""
    return Budget(budget.rate * factor, budget.burst * factor)
