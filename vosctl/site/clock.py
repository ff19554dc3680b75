"""The moment that a run takes as now: what holds "today" in rates is looked up by it."""

from __future__ import annotations

import os
from datetime import datetime, timezone


def now() -> datetime:
    """Return SOURCE_DATE_EPOCH where it is set, so that a run can be repeated (reproducible-builds.org), else now."""
    said = os.environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(said), timezone.utc) if said.isdigit() else datetime.now(timezone.utc)
