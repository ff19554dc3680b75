"""Rate decks of a site: what customers pay and vendors cost, by prefix, and when a row holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from pathlib import Path

from msgspec import Struct, field

from vosctl.site.calendar import Calendar
from vosctl.site.tree import Mark

_ZERO = Decimal(0)
_DIGITS = 20  # the longest prefix
_ONE = Decimal(1)
_EVER = datetime.min.replace(tzinfo=timezone.utc)


class Rounding(Struct, frozen=True):
    """Decimal places, and the kind of rounding as ``decimal`` names it."""

    places: int = 6
    kind: str = ROUND_HALF_UP


CALL = Rounding()


class Rate(Struct, frozen=True):
    """One row of a deck; money is per minute, ``prefix`` is digits ("" is the default row).

    ``first_rate`` holds for the first ``first_seconds``; after them ``rate`` is charged in steps
    of ``cycle`` seconds; ``connect`` is charged once. A call of up to ``grace`` seconds costs
    nothing; ``free_seconds`` are not charged at the beginning of each call; ``minimum`` is the
    least a charged call costs. The row holds in its ``section`` of the deck's calendar ("": always)
    from ``valid_from`` to before ``valid_until`` (UTC; None: no bound). A ``blocked`` row says that
    calls to it are not sold or carried.
    """

    prefix: str
    rate: Decimal
    cycle: int
    first_rate: Decimal
    first_seconds: int
    connect: Decimal
    mark: Mark
    minimum: Decimal = _ZERO
    grace: int = 0
    free_seconds: int = 0
    section: str = ""
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    blocked: bool = False
    destination: str = ""

    def holds(self, when: datetime, section: str) -> bool:
        """Return whether the row is in force at a moment that falls into ``section``."""
        return (
            self.section in {"", section}
            and (self.valid_from is None or self.valid_from <= when)
            and (self.valid_until is None or when < self.valid_until)
        )

    @property
    def rank(self) -> tuple[bool, datetime]:
        """Of two rows in force for one prefix the higher counts: a section's over one for always, then the newer."""
        return bool(self.section), self.valid_from or _EVER


class Tier(Struct, frozen=True):
    """Calls that begin after ``minutes`` of the calendar month were used cost ``discount`` per cent less."""

    minutes: int
    discount: Decimal


class Commitment(Struct, frozen=True):
    """What is paid for a calendar month in any case: an ``amount``, or ``minutes`` of which missing ones cost ``rate``."""

    amount: Decimal = _ZERO
    minutes: int = 0
    rate: Decimal = _ZERO

    def missing(self, amount: Decimal, minutes: Decimal) -> Decimal:
        """Return what is owed on top of a month's calls that cost ``amount`` and took ``minutes``."""
        short = max(_ZERO, self.minutes - minutes)
        return max(_ZERO, self.amount - amount, short * self.rate)


class Deck(Struct, frozen=True, dict=True):
    """A rate group (customers), a clearing deck (vendors) or private rates.

    ``rows`` are the rows in force when the site was loaded, outside any section; ``entries`` every
    row, where some hold at times only (else it is empty; ``every`` has them all in both cases).
    ``currency`` "" is the site's. ``tax`` is in per cent of the charge. ``file`` is what the rows
    were read from.
    """

    name: str
    rows: Mapping[str, Rate]
    mark: Mark
    entries: tuple[Rate, ...] = ()
    currency: str = ""
    rounding: Rounding = CALL
    tax: Decimal = _ZERO
    calendar: Calendar | None = None
    file: Path | None = None
    tiers: tuple[Tier, ...] = ()
    commitment: Commitment | None = None

    @property
    def every(self) -> tuple[Rate, ...]:
        """All rows, whenever they hold."""
        return self.entries or tuple(self.rows.values())

    def section(self, when: datetime) -> str:
        """Return the section of the work calendar that a moment falls into, "" for none."""
        return self.calendar.section(when) if self.calendar else ""

    def at(self, when: datetime) -> Mapping[str, Rate]:
        """Return the rows in force at a moment, by prefix: a call is priced by the moment it began."""
        if not self.entries:
            return self.rows
        section = self.section(when)
        key = self._period(when), section
        if key not in self._known:
            self._known[key] = in_force(self.entries, when, section)
        return self._known[key]

    def find(self, number: str, when: datetime) -> Rate | None:
        """Return the row with the longest prefix of ``number`` at a moment, or None."""
        if not self.entries:  # a table of its own by prefix would double what a big deck takes
            found = (self.rows.get(number[:length]) for length in range(min(len(number), _DIGITS), -1, -1))
            return next((row for row in found if row is not None), None)
        section = self.section(when)
        for length in range(min(len(number), self._longest), -1, -1):
            held = [row for row in self._by_prefix.get(number[:length], ()) if row.holds(when, section)]
            if held:
                return max(reversed(held), key=lambda row: row.rank)  # of equal ones the last, as in_force
        return None

    @cached_property
    def _known(self) -> dict[tuple[int, str], Mapping[str, Rate]]:
        return {}

    @cached_property
    def _by_prefix(self) -> Mapping[str, list[Rate]]:
        found: dict[str, list[Rate]] = {}
        for row in self.every:
            found.setdefault(row.prefix, []).append(row)
        return found

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._by_prefix), default=0)

    @cached_property
    def moments(self) -> tuple[datetime, ...]:
        """The moments at which a row begins or ends to hold, in order."""
        ends = (end for row in self.every for end in (row.valid_from, row.valid_until))
        return tuple(sorted({end for end in ends if end is not None}))

    def _period(self, when: datetime) -> int:
        """Return the number of the time between two of ``moments``, within which nothing changes."""
        return sum(moment <= when for moment in self.moments)


def in_force(entries: tuple[Rate, ...], when: datetime, section: str) -> Mapping[str, Rate]:
    """Return the rows that hold at a moment in a section, one for each prefix."""
    found: dict[str, Rate] = {}
    for row in entries:
        if row.holds(when, section):
            other = found.get(row.prefix)
            if other is None or row.rank >= other.rank:
                found[row.prefix] = row
    return found


class Package(Struct, frozen=True):
    """Minutes that an account has paid for: so many in a calendar month to these prefixes ("" is everywhere)."""

    name: str
    minutes: int
    prefixes: tuple[str, ...]
    price: Decimal
    mark: Mark


class Agent(Struct, frozen=True):
    """Somebody who earns ``commission`` per cent of what the customers they brought pay, or (``of_margin``) leave."""

    name: str
    commission: Decimal
    of_margin: bool
    mark: Mark


class Account(Struct, frozen=True):
    """A customer: the rate group, rates of its own that compete with it, its gateways, packages and agent."""

    name: str
    group: str | None
    private: Deck | None
    gateways: tuple[str, ...]
    packages: tuple[str, ...]
    mark: Mark
    agent: str | None = None


class Phone(Struct, frozen=True):
    """A caller's number of an account, with rates of its own that compete with the account's."""

    number: str
    account: str | None
    private: Deck | None
    mark: Mark


class Rates(Struct, frozen=True):
    """All decks that a node knows; amounts are compared in ``currency`` (ISO 4217).

    ``exchange`` says what one unit of another currency is in it.
    """

    currency: str
    groups: Mapping[str, Deck]
    clearing: Mapping[str, Deck]
    exchange: Mapping[str, Decimal] = field(default_factory=dict)
    accounts: Mapping[str, Account] = field(default_factory=dict)
    phones: Mapping[str, Phone] = field(default_factory=dict)
    packages: Mapping[str, Package] = field(default_factory=dict)
    agents: Mapping[str, Agent] = field(default_factory=dict)

    def worth(self, deck: Deck) -> Decimal:
        """Return what one unit of the deck's currency is in the site's; KeyError where ``exchange`` lacks it."""
        return _ONE if deck.currency in {"", self.currency} else self.exchange[deck.currency]

    def decks(self) -> Iterator[Deck]:
        """Yield every deck: groups, clearing decks, accounts' and phones' private rates."""
        yield from self.groups.values()
        yield from self.clearing.values()
        private = [each.private for each in self.accounts.values()]
        private += [each.private for each in self.phones.values()]
        yield from (deck for deck in private if deck is not None)
