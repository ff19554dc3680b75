"""Any rates, written as a clean file and read again, cost the same; and the moments that a check looks at."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vosctl.rates.audit.moments import MOST, moments
from vosctl.rates.billing import charge
from vosctl.rates.files import read
from vosctl.rates.files.write import write_file
from vosctl.site.calendar import Calendar, Window
from vosctl.site.decks import Deck, Rate
from vosctl.site.tree import Mark

MARK = Mark("x", 1, 1)
NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
MONEY = st.integers(0, 10**13).map(lambda units: Decimal(units).scaleb(-8))
SECONDS = st.integers(0, 3600)
MOMENTS = st.none() | st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)).map(  # noqa: DTZ001  made aware below
    lambda moment: moment.replace(microsecond=0, tzinfo=timezone.utc)
)


@st.composite
def rates(draw: st.DrawFn) -> Rate:
    rate, first_seconds = draw(MONEY), draw(SECONDS)
    begin, length = draw(MOMENTS), draw(st.none() | st.timedeltas(timedelta(seconds=1), timedelta(days=999)))
    return Rate(
        prefix=draw(st.from_regex(r"[1-9][0-9]{0,6}|", fullmatch=True)),
        rate=rate,
        cycle=draw(st.integers(1, 3600)),
        first_rate=draw(MONEY) if first_seconds else rate,
        first_seconds=first_seconds,
        connect=draw(MONEY),
        mark=MARK,
        minimum=draw(MONEY),
        grace=draw(SECONDS),
        free_seconds=draw(SECONDS),
        section=draw(st.sampled_from(["", "night", "peak"])),
        valid_from=begin,
        valid_until=begin + timedelta(seconds=int(length.total_seconds())) if begin and length else None,
        blocked=draw(st.booleans()),
        destination=draw(
            st.text(st.characters(exclude_categories=("C",)), max_size=8).map(
                lambda text: " ".join(text.split())
            )
        ),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rates(), min_size=1, max_size=5, unique_by=lambda rate: (rate.prefix, rate.section, rate.valid_from)),
       st.sampled_from(["csv", "parquet"]), st.lists(st.integers(0, 8000), min_size=3, max_size=3))  # fmt: skip
def test_what_is_written_costs_the_same_when_read(
    tmp_path: Path, made: list[Rate], form: str, durations: list[int]
):
    path = tmp_path / f"deck.{form}"
    write_file(form, made, path)
    reading = read(path, {}, MARK)
    assert reading.counts.accepted == len(made), reading.notes
    for old, new in zip(made, reading.rows, strict=True):
        for name in ("prefix", "section", "valid_from", "valid_until", "blocked", "destination"):
            assert getattr(new, name) == getattr(old, name)
        for seconds in durations:
            assert charge(new, seconds) == charge(old, seconds)


def row(**more: object) -> Rate:
    return Rate("44", Decimal(1), 60, Decimal(1), 0, Decimal(0), MARK, **more)


def test_a_check_looks_at_what_is_coming():
    soon, far, past = NOW + timedelta(days=8), NOW + timedelta(days=100), NOW - timedelta(days=1)
    entries = row(valid_until=soon), row(valid_from=soon), row(valid_from=far), row(valid_from=past)
    assert moments([Deck("a", {}, MARK, entries=entries)], NOW) == (NOW, soon)


def test_a_check_looks_at_each_mix_of_sections():
    def office(start: int, end: int) -> Deck:
        windows = {"night": (Window(frozenset(range(8)), start * 60, end * 60),)}
        return Deck(f"{start}", {"44": row()}, MARK, calendar=Calendar("c", "UTC", windows))

    found = moments([office(22, 6), office(20, 4)], NOW)
    mixes = {(office(22, 6).section(when), office(20, 4).section(when)) for when in found}
    assert mixes == {("", ""), ("", "night"), ("night", "night"), ("night", "")}
    assert len(found) == 4


def test_a_check_looks_at_no_more_moments_than_it_says():
    entries = tuple(row(valid_from=NOW + timedelta(hours=hour)) for hour in range(1, 99))
    assert len(moments([Deck("a", {}, MARK, entries=entries)], NOW)) == MOST
