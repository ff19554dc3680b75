"""Writes the decks of the example site: a vendor's sheet of the world and the prices made of last month's sheet.

Countries and mobile prefixes are those of ``phonenumbers``; rates are drawn with a seed, so that the files come
out the same. The vendor raised some prefixes since the prices were made: those lose, and ``vosctl validate`` says so.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from pathlib import Path

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE
from phonenumbers.carrierdata import CARRIER_DATA
from phonenumbers.geodata.locale import LOCALE_DATA

FOLDER = Path(__file__).parent.parent / "inventory" / "decks"
SEED = 20261101
OWN = ("44", "49")  # priced in rates.yml
MOST_MOBILE = 24
RAISED = Decimal("0.012")
CENT_OF_A_CENT = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Row:
    """A prefix with its destination, the vendor's rate before and now, and the customers' rate."""

    prefix: str
    destination: str
    before: Decimal
    now: Decimal
    price: Decimal
    increment: str


def main() -> None:
    """Write polar.csv and retail.csv."""
    rows = list(_rows(random.Random(SEED)))  # noqa: S311  prices, not secrets
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "polar.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("Destination", "Code", "EUR/min", "Billing"))
        writer.writerows((row.destination, row.prefix, f"{row.now:f}", row.increment) for row in rows)
    with (FOLDER / "retail.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("prefix", "destination", "rate", "cycle"))
        writer.writerows((row.prefix, row.destination, f"{row.price:f}", 60) for row in rows)


def _rows(draw: random.Random) -> Iterator[Row]:
    for code, regions in sorted(COUNTRY_CODE_TO_REGION_CODE.items(), key=lambda item: str(item[0])):
        name = _name(regions[0])
        if not name or str(code) in OWN or str(code).startswith(OWN):
            continue
        fixed = _amount(draw.choice((0.003, 0.006, 0.01, 0.02)) * draw.uniform(0.6, 1.8))
        mobile = _amount(float(fixed) * draw.uniform(1.5, 4))
        yield _row(draw, str(code), name, fixed)
        for prefix in _mobile(str(code)) if len(regions) == 1 else ():  # else nobody says whose they are
            yield _row(draw, prefix, f"{name} mobile", _amount(float(mobile) * draw.uniform(0.95, 1.1)))


def _name(region: str) -> str:
    """Return a region's name in English; the data names the language that has the same."""
    names = LOCALE_DATA.get(region, {})
    name = names.get("en", "")
    return names.get(name[1:], "") if name.startswith("*") else name


def _mobile(code: str) -> list[str]:
    own = sorted((each for each in CARRIER_DATA if each.startswith(code)), key=lambda each: (len(each), each))
    return sorted(own[:MOST_MOBILE])


def _row(draw: random.Random, prefix: str, destination: str, before: Decimal) -> Row:
    price = (before / Decimal(draw.choice(("0.90", "0.85", "0.80")))).quantize(CENT_OF_A_CENT, ROUND_UP)
    raised = Decimal(draw.randrange(115, 160)) / 100 if Decimal(repr(draw.random())) < RAISED else Decimal(1)
    now = (before * raised).quantize(CENT_OF_A_CENT, ROUND_UP)
    return Row(prefix, destination, before, now, price, draw.choice(("1/1", "1/1", "6/6", "30/6")))


def _amount(amount: float) -> Decimal:
    return max(CENT_OF_A_CENT, Decimal(round(amount * 10_000)).scaleb(-4))


if __name__ == "__main__":
    main()
