"""Gateway tiers: admission limits by size of customer, as vendors' guides give them."""

from __future__ import annotations

from datetime import timedelta

from vosctl.site.model import Limits

TIERS = {
    "small": Limits(cps=10, concurrent=50, duration=timedelta(minutes=30)),
    "medium": Limits(cps=30, concurrent=200, duration=timedelta(minutes=60)),
    "large": Limits(cps=100, concurrent=500, duration=timedelta(minutes=60)),
    "premium": Limits(cps=200, concurrent=2000, duration=timedelta(minutes=120)),
}
