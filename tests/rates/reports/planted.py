"""Two sides' CDRs of the same calls, with differences of every class planted at known calls."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

BEGIN = datetime(2026, 11, 2, tzinfo=timezone.utc).replace(tzinfo=None)
RATE = Decimal("0.0095")  # a minute, by the second
CLASSES = ("missing here", "missing there", "duration", "rate", "rounding", "time zone")


@dataclass
class Planted:
    """Rows of both files, and the class of each call that differs, by the call's name on its side."""

    ours: list[list[str]] = field(default_factory=list)
    theirs: list[list[str]] = field(default_factory=list)
    differing: dict[str, str] = field(default_factory=dict)
    money: dict[str, Decimal] = field(default_factory=dict)


def price(seconds: int, rate: Decimal = RATE, places: str = "0.000001") -> Decimal:
    return (rate * seconds / 60).quantize(Decimal(places), ROUND_HALF_UP)


def plant(seed: int, calls: int, *, shift: timedelta = timedelta(0), every: int = 10) -> Planted:
    """Plant a difference at each ``every``-th call, of each class in turn; their clock as a whole is ``shift`` later."""
    rng, made = random.Random(seed), Planted()
    for at in range(calls):
        # A few numbers are called all day, most once; no two calls to one number begin within a minute.
        number = f"4930{rng.randrange(20)}" if at % 3 == 0 else f"4471{at:08}"
        began = BEGIN + timedelta(seconds=60 * at + rng.randrange(5))
        seconds = rng.randrange(20, 900)
        theirs = seconds + rng.choice((-1, 0, 0, 0, 1))
        later = timedelta(milliseconds=rng.randrange(-3000, 3000))
        kind = CLASSES[at // every % len(CLASSES)] if at % every == every - 1 else ""
        ours_cost = price(seconds)
        # A second more or less is within the tolerance; the amounts go with it unless something is planted.
        theirs_cost = ours_cost
        if kind == "duration":
            theirs = seconds + rng.randrange(5, 60)
            theirs_cost = price(theirs)
        elif kind == "rate":
            theirs = seconds
            theirs_cost = price(seconds, Decimal("0.0105"))
        elif kind == "rounding":
            theirs = seconds
            theirs_cost = ours_cost + Decimal("0.000001")
        elif kind == "time zone":
            theirs = seconds
            later += timedelta(hours=rng.choice((-5, -1, 2, 7)))
        if kind:
            made.differing[f"t{at}" if kind == "missing here" else f"o{at}"] = kind
            beyond = {"missing here": theirs_cost, "missing there": -ours_cost}.get(
                kind, theirs_cost - ours_cost
            )
            made.money[kind] = made.money.get(kind, Decimal(0)) + beyond
        if kind != "missing here":
            made.ours.append([f"o{at}", began.isoformat(" "), str(seconds), number, f"{ours_cost:f}"])
        if kind != "missing there":
            moment = (began + later + shift).isoformat(" ")
            made.theirs.append([f"t{at}", moment, str(theirs), f"+{number}", f"{theirs_cost:f}"])
    rng.shuffle(made.theirs)
    return made


def write(planted: Planted, folder: Path) -> tuple[Path, Path]:
    """Write both files, each with the headings of its own."""
    paths = folder / "ours.csv", folder / "theirs.csv"
    heads = (
        ["call_id", "started", "duration", "callee", "cost"],
        ["Call ID", "Start time", "Billsec", "Called number", "Charge"],
    )
    for path, head, rows in zip(paths, heads, (planted.ours, planted.theirs), strict=True):
        with path.open("w", newline="") as stream:
            csv.writer(stream).writerows([head, *rows])
    return paths
