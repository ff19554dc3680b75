"""How calls are routed to vendors: guards, order, weights and hours, as the site states them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct, field

from vosctl.site.calendar import Calendar

OPEN = "open"
"""The section of a gateway's hours in which it is used."""


class ProfitGuard(Struct, frozen=True):
    """When a vendor is locked for a prefix: profit below ``lowest_profit`` (per ``unit``).

    ``unit`` is ``second``, ``minute`` (money) or ``percent`` (of the customer's rate). With
    ``check_rate`` a vendor without a clearing rate for the prefix is locked. None is not said.
    """

    lowest_profit: Decimal | None
    unit: str
    max_minute_rate: Decimal | None
    check_rate: bool | None


class GatewayRouting(Struct, frozen=True):
    """How a vendor's gateway is chosen and called.

    Lower ``priority`` comes first. ``share`` is the percentage of calls that try it first among those of its
    priority; ``weight`` decides between vendors of equal rank. ``rewrite`` replaces the longest prefix that fits
    the number. Outside the section ``OPEN`` of its ``hours`` it is not used; None is always.
    """

    priority: int = 0
    weight: int = 1
    share: int = 0
    rewrite: Mapping[str, str] = field(default_factory=dict)
    hours: Calendar | None = None


class Quality(Struct, frozen=True):
    """What a vendor was measured at: answered calls in per cent, mean seconds of an answered call."""

    asr: Decimal
    acd: Decimal

    @property
    def seconds(self) -> Decimal:
        """Seconds of talk for each call that is tried."""
        return self.asr * self.acd / 100


class Traffic(Struct, frozen=True):
    """Minutes that a customers' group (None: all of them) sends to numbers with a prefix."""

    group: str | None
    prefix: str
    minutes: Decimal


class Routing(Struct, frozen=True):
    """What a node's route tables are made with, beside its decks.

    ``order`` is ``cost`` or ``quality`` (talk per tried call first, then cost). Vendors whose ``statistics``, by
    gateway and prefix, are below ``lowest_asr`` or ``lowest_acd`` come last of their priority. ``groups`` and
    ``prefixes`` are guards that go before the vendors' own.
    """

    order: str = "cost"
    lowest_asr: Decimal = Decimal(0)
    lowest_acd: Decimal = Decimal(0)
    statistics: Mapping[str, Mapping[str, Quality]] = field(default_factory=dict)
    traffic: tuple[Traffic, ...] = ()
    groups: Mapping[str, ProfitGuard] = field(default_factory=dict)
    prefixes: Mapping[str, ProfitGuard] = field(default_factory=dict)


DEFAULT_ROUTING = Routing()
DEFAULT_GATEWAY_ROUTING = GatewayRouting()
