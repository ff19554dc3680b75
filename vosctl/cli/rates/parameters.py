"""What people write on the command line of ``vosctl rates``: amounts, durations, moments; read exactly or refused."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import click

from vosctl.cli.screen import Wish
from vosctl.rates.effective import Increment
from vosctl.site.decks import Rounding

_AMOUNT = re.compile(r"-?(\d+(\.\d*)?|\.\d+)")
_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|min|h|)")
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):([0-5]\d(?:\.\d+)?)")


class Amount(click.ParamType[Decimal]):
    """An exact decimal number, as it is written; no exponent, no thousands."""

    name = "amount"

    def __init__(self, *, least: Decimal | None = Decimal(0), most: Decimal | None = None) -> None:
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Return the amount."""
        if isinstance(value, Decimal):
            return value
        text = str(value)
        if not _AMOUNT.fullmatch(text):
            point = f"; write a decimal point: {text.replace(',', '.')}" if "," in text else ""
            self.fail(f"'{text}' is not an amount{point or ', as 0.0125'}", param, ctx)
        amount = Decimal(text)
        if self._least is not None and amount < self._least:
            self.fail(f"{text} is less than {self._least:f}", param, ctx)
        if self._most is not None and amount > self._most:
            self.fail(f"{text} is more than {self._most:f}", param, ctx)
        return amount


class Duration(click.ParamType[Decimal]):
    """Seconds, exact to the millisecond: ``75``, ``75.5``, ``3m``, ``1h``, ``1:15`` or ``0:01:15``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Return the seconds."""
        if isinstance(value, Decimal):
            return value
        text = str(value).strip().lower().replace(" ", "")
        if found := _DURATION.fullmatch(text):
            seconds = Decimal(found[1]) * _UNITS[found[2]]
        elif found := _CLOCK.fullmatch(text):
            seconds = Decimal(int(found[1] or 0) * 3600 + int(found[2]) * 60) + Decimal(found[3])
        else:
            self.fail(f"'{value}' is not a duration; write 75, 75.5, 3m or 1:15", param, ctx)
        return seconds


class Moment(click.ParamType[datetime]):
    """A moment in ISO 8601; without a zone it is UTC: ``2026-11-23``, ``2026-11-23T18:30``, ``…+01:00``."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the moment in UTC."""
        if isinstance(value, datetime):
            return value
        text = str(value).strip().replace(" ", "T").replace("Z", "+00:00")
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"'{value}' is not a time; write 2026-11-23T18:30 (UTC) or …T18:30+01:00", param, ctx)
        return (
            moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
        )


class Number(click.ParamType[str]):
    """A called number as digits; ``+``, ``00`` before it, blanks, dots, hyphens and brackets are taken away.

    No country code begins with 0 (ITU-T E.164), so ``00`` is always the international prefix.
    """

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the digits."""
        digits = re.sub(r"[\s.()/-]", "", str(value)).removeprefix("+").removeprefix("00")
        if not re.fullmatch(r"[0-9]{1,32}", digits):
            self.fail(f"'{value}' is not a telephone number; write digits, as 442071234567", param, ctx)
        return digits


class IncrementType(click.ParamType[Increment]):
    """A billing increment in seconds: ``30/6`` is 30 at first, then steps of 6; ``6`` is ``6/6``."""

    name = "first/cycle"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Increment:
        """Return the increment; ``6`` is ``6/6``."""
        if isinstance(value, Increment):
            return value
        found = re.fullmatch(r"(\d{1,5})(?:/(\d{1,5}))?", str(value))
        if not found or not int(found[2] or found[1]):
            self.fail(
                f"'{value}' is not a billing increment; write first/cycle in seconds, as 30/6", param, ctx
            )
        return Increment(int(found[1]), int(found[2] or found[1]))


AMOUNT = Amount()
SIGNED = Amount(least=None)
DURATION = Duration()
MOMENT = Moment()
NUMBER = Number()
INCREMENT = IncrementType()
ROUNDINGS = ("half-up", "half-even", "half-down", "up", "down", "ceiling", "floor")


def rounding_named(places: int, kind: str) -> Rounding:
    """Return a rounding whose kind is one of ``ROUNDINGS``."""
    return Rounding(places, "ROUND_" + kind.upper().replace("-", "_"))


def _remember(ctx: click.Context, _: click.Parameter, value: bool) -> bool:  # noqa: FBT001  click calls it so
    wish = ctx.find_object(Wish)
    if wish is not None:
        wish.json = value
    return value


json_option = click.option("--json", "as_json", is_flag=True, envvar="VOSCTL_JSON", callback=_remember,
                           help="JSON, and nothing else, on standard output.")  # fmt: skip
