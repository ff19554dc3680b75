"""What a call costs its caller: of the rates of the group, the account and the phone the cheapest is charged."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from msgspec import Struct

from vosctl.rates.billing import Bill, itemize
from vosctl.site.decks import CALL, Account, Deck, Package, Rate, Rates

_ZERO = Decimal(0)


class Caller(Struct, frozen=True):
    """Who calls: a rate group, an account (whose group it then is), the caller's own number (digits)."""

    group: str | None = None
    account: str | None = None
    number: str | None = None


class Used(Struct, frozen=True):
    """What the calendar month held before the call: minutes billed by the deck, seconds left of packages."""

    minutes: Decimal = _ZERO
    package_seconds: int = 0


class Price(Struct, frozen=True):
    """A call under one deck: the row, the bill in the deck's currency, and the amount in the site's."""

    source: str
    deck: Deck
    rate: Rate
    bill: Bill
    amount: Decimal


def prices(
    rates: Rates,
    caller: Caller,
    number: str,
    when: datetime,
    seconds: int | Decimal,
    *,
    used: Used | None = None,
) -> tuple[Price, ...]:
    """Return the call's price under each deck that the caller has, the cheapest first; none where nobody sells it.

    A call that began within package minutes is charged for what exceeds them. Decks of equal price
    come in the order group, account, phone.
    """
    used = used or Used()
    paid = package(rates, caller, number)
    rest = max(Decimal(0), Decimal(seconds) - used.package_seconds) if paid else Decimal(seconds)
    found = []
    for source, deck in decks_of(rates, caller):
        rate = deck.find(number, when)
        if rate is not None and not rate.blocked:
            found.append(price(rates, deck, rate, rest, used.minutes, source=source))
    return tuple(sorted(found, key=lambda each: each.amount))


def price(
    rates: Rates,
    deck: Deck,
    rate: Rate,
    seconds: int | Decimal,
    minutes: Decimal = _ZERO,
    *,
    source: str = "",
) -> Price:
    """Return the price under one row; ``minutes`` are those of the month before, for the deck's tiers."""
    bill = itemize(rate, seconds, deck.rounding, tax=deck.tax, discount=discount(deck, minutes))
    return Price(source, deck, rate, bill, in_site_currency(rates, deck, bill.total))


def in_site_currency(rates: Rates, deck: Deck, amount: Decimal) -> Decimal:
    """Return an amount of the deck's currency in the site's: it was rounded as billed, and is once more when changed."""
    worth = rates.worth(deck)
    if worth == 1:
        return amount
    return (amount * worth).quantize(Decimal(1).scaleb(-CALL.places), CALL.kind)


def discount(deck: Deck, minutes: Decimal) -> Decimal:
    """Return the per cent that a call costs less after so many minutes of the month."""
    reached = [tier.discount for tier in deck.tiers if tier.minutes <= minutes]
    return reached[-1] if reached else _ZERO


def decks_of(rates: Rates, caller: Caller) -> Iterator[tuple[str, Deck]]:
    """Yield every deck that a caller's calls can be charged by, and whose it is."""
    account = account_of(rates, caller)
    group = account.group if account and account.group else caller.group
    if group is not None and group in rates.groups:
        yield f"group {group}", rates.groups[group]
    if account is not None and account.private is not None:
        yield f"account {account.name}", account.private
    phone = rates.phones.get(caller.number or "")
    if phone is not None and phone.private is not None:
        yield f"phone {phone.number}", phone.private


def account_of(rates: Rates, caller: Caller) -> Account | None:
    """Return the account that is named, or else the one that the phone belongs to."""
    phone = rates.phones.get(caller.number or "")
    return rates.accounts.get(caller.account or (phone.account if phone else None) or "")


def package(rates: Rates, caller: Caller, number: str) -> Package | None:
    """Return the first package of the caller's account that covers a number."""
    account = account_of(rates, caller)
    for name in account.packages if account else ():
        found = rates.packages.get(name)
        if found is not None and number.startswith(found.prefixes):
            return found
    return None
