"""Rate decks of a site: what customers pay and vendors cost, by prefix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from vosctl.site.tree import Mark


@dataclass(frozen=True, slots=True)
class Rate:
    """One row of a deck; money is per minute, ``prefix`` is digits ("" is the default row).

    ``first_rate`` holds for the first ``first_seconds``; after them ``rate`` is charged in steps
    of ``cycle`` seconds; ``connect`` is charged once.
    """

    prefix: str
    rate: Decimal
    cycle: int
    first_rate: Decimal
    first_seconds: int
    connect: Decimal
    mark: Mark


@dataclass(frozen=True, slots=True)
class Deck:
    """A rate group (customers) or a clearing deck (vendors): rows by prefix."""

    name: str
    rows: Mapping[str, Rate]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Rates:
    """All decks that a node knows, in one currency (ISO 4217)."""

    currency: str
    groups: Mapping[str, Deck]
    clearing: Mapping[str, Deck]
