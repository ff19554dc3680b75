"""The columns of a call before and after it is rated; amounts are whole numbers of 10^-8 of a currency.

Whoever reads calls gives ``CALLS``; the engine turns them into ``RATED``, on which every report is built.
"""

from __future__ import annotations

from collections.abc import Mapping

# One unit of a currency, in bulk: what a BIGINT of 10^-8 is divided by.
UNIT = 10**8
UNIT_PLACES = 8
ANSWERED = 200

# DuckDB's names of the types. ``started`` is UTC; numbers are E.164 digits; ``cause`` is the final SIP status.
# ``billed`` and ``cost`` are what the switch said, null where it said nothing.
CALLS: Mapping[str, str] = {
    "call_id": "VARCHAR",
    "started": "TIMESTAMP",
    "duration_ms": "BIGINT",
    "caller": "VARCHAR",
    "callee": "VARCHAR",
    "customer": "VARCHAR",
    "customer_gateway": "VARCHAR",
    "customer_deck": "VARCHAR",
    "vendor": "VARCHAR",
    "vendor_gateway": "VARCHAR",
    "vendor_deck": "VARCHAR",
    "agent": "VARCHAR",
    "pdd_ms": "INTEGER",
    "cause": "INTEGER",
    "billed": "BIGINT",
    "cost": "BIGINT",
}
# What the engine adds. A state is "" for a rated side, else why it has no amounts (``STATES``), which are null
# then. ``revenue`` and ``expense`` are earned and paid, without tax; the totals are with it, to the last digit what
# ``charge`` returns; all are in the site's currency. ``seconds`` are those billed: first period and whole cycles.
# ``margin`` is revenue less expense, null where one of them is; ``source`` is the deck that was the cheapest.
ADDED: Mapping[str, str] = {
    "customer_state": "VARCHAR",
    "customer_source": "VARCHAR",
    "customer_prefix": "VARCHAR",
    "customer_destination": "VARCHAR",
    "customer_seconds": "BIGINT",
    "customer_total": "BIGINT",
    "revenue": "BIGINT",
    "vendor_state": "VARCHAR",
    "vendor_source": "VARCHAR",
    "vendor_prefix": "VARCHAR",
    "vendor_destination": "VARCHAR",
    "vendor_seconds": "BIGINT",
    "vendor_total": "BIGINT",
    "expense": "BIGINT",
    "margin": "BIGINT",
}
RATED: Mapping[str, str] = {**CALLS, **ADDED}
NO_DECK, NO_RATE, BLOCKED = "no deck", "no rate", "blocked"
STATES = ("", NO_DECK, NO_RATE, BLOCKED)
