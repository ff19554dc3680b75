"""A length of time on the command line: 90, 30m, 2h or 30d."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import click

_LENGTH = re.compile(r"([0-9]{1,8})([smhd]?)")
_UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Length(click.ParamType[Any]):
    """A length of time, as 90, 30m or 2h."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        if not isinstance(value, str):
            return float(value)
        found = _LENGTH.fullmatch(value)
        if found is None:
            self.fail(f"{value!r} is no length of time: write 90, 30m or 2h", param, ctx)
        return timedelta(**{_UNITS[found[2]]: int(found[1])}).total_seconds()
