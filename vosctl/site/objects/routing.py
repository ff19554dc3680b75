"""Builds what routes are made with: guards, priorities, shares, hours, statistics and traffic."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from vosctl.site.calendar import UTC, Calendar
from vosctl.site.objects.calendars import build_window, parse_timezone
from vosctl.site.objects.fields import Fields
from vosctl.site.objects.routing_files import TableError, read_statistics, read_traffic
from vosctl.site.objects.scalars import parse_money, parse_signed_money
from vosctl.site.routing import OPEN, GatewayRouting, ProfitGuard, Quality, Routing, Traffic
from vosctl.site.tree import Scalar

_PREFIX = re.compile(r"[0-9]{0,20}")
_NOTHING = Decimal(0)


def build_guard(fields: Fields) -> ProfitGuard:
    """Return a profit guard: a vendor's, a customers' group's or a prefix's."""
    lowest: Decimal | None = fields.parsed("lowest", parse_signed_money)
    return ProfitGuard(
        lowest_profit=lowest,
        unit=fields.text("unit") or "second",
        max_minute_rate=fields.parsed("max_minute_rate", parse_money),
        check_rate=fields.boolean("check_rate", default=False) if "check_rate" in fields else None,
    )


def build_routing(fields: Fields, folder: Path) -> Routing:
    """Return the node's routing; ``folder`` is the site's, which paths of files start from."""
    quality, guards = fields.below("quality"), fields.below("profit")
    return Routing(
        order=fields.text("order") or "cost",
        lowest_asr=quality.parsed("lowest_asr", parse_money) or _NOTHING,
        lowest_acd=quality.parsed("lowest_acd", parse_money) or _NOTHING,
        statistics=_statistics(fields, folder),
        traffic=_traffic(fields, folder),
        groups={name: build_guard(entry) for name, entry in guards.below("groups").entries()},
        prefixes={
            prefix: build_guard(entry)
            for prefix, entry in guards.below("prefixes").entries()
            if _PREFIX.fullmatch(prefix)
        },
    )


def build_gateway_routing(fields: Fields) -> GatewayRouting:
    """Return how a vendor's gateway is chosen and called."""
    weight = fields.integer("weight")
    return GatewayRouting(
        priority=fields.integer("priority") or 0,
        weight=1 if weight is None else weight,
        share=fields.integer("share") or 0,
        rewrite=_rewrite(fields.below("rewrite")),
        hours=_hours(fields),
    )


def _statistics(fields: Fields, folder: Path) -> Mapping[str, Mapping[str, Quality]]:
    text = fields.text("statistics")
    try:
        return {} if text is None else read_statistics(folder / text)
    except TableError as error:
        fields.error("routing-statistics", error.message, key="statistics", hint=error.hint)
        return {}


def _traffic(fields: Fields, folder: Path) -> tuple[Traffic, ...]:
    text = fields.text("traffic")
    try:
        return () if text is None else read_traffic(folder / text)
    except TableError as error:
        fields.error("routing-traffic", error.message, key="traffic", hint=error.hint)
        return ()


def _rewrite(fields: Fields) -> Mapping[str, str]:
    return {
        prefix: value.text
        for prefix, value in fields.tree.items.items()
        if isinstance(value, Scalar) and _PREFIX.fullmatch(prefix)
    }


def _hours(fields: Fields) -> Calendar | None:
    zone = fields.parsed("timezone", parse_timezone) or UTC
    windows = [build_window(entry) for entry in fields.listed_mappings("hours")]
    opened = tuple(window for window in windows if window is not None)
    return Calendar(OPEN, zone, {OPEN: opened}) if opened else None
