"""Builds what calls earn and cost: decks, exchange rates, accounts and packages; money is exact from the text."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from vosctl.site.clock import now
from vosctl.site.decks import Account, Agent, Package, Phone, Rates
from vosctl.site.objects.calendars import build_calendars
from vosctl.site.objects.decks import DeckShop, parse_percent
from vosctl.site.objects.fields import Fields, Workshop
from vosctl.site.objects.rate_rows import parse_price
from vosctl.site.suggest import did_you_mean, listed
from vosctl.site.tree import Scalar

_CURRENCY = "EUR"


def build_rates(fields: Fields, shop: Workshop) -> Rates:
    """Return all rates that a node knows."""
    table = fields.below("calendars")
    calendars = shop.once("calendars", (table.tree,), lambda: build_calendars(table))
    decks = DeckShop(shop, calendars, now())
    rates = Rates(
        currency=fields.text("currency") or _CURRENCY,
        groups=decks.named(fields.below("groups")),
        clearing=decks.named(fields.below("clearing")),
        exchange=_exchange(fields.below("exchange")),
        accounts={name: _account(name, entry, decks) for name, entry in fields.below("accounts").entries()},
        phones={number: _phone(number, entry, decks) for number, entry in fields.below("phones").entries()},
        packages={name: _package(name, entry) for name, entry in fields.below("packages").entries()},
        agents={name: _agent(name, entry) for name, entry in fields.below("agents").entries()},
    )
    _check_names(fields, rates)
    _check_currencies(fields, rates)
    return rates


def _exchange(fields: Fields) -> Mapping[str, Decimal]:
    found = {code: fields.parsed(code, parse_price) for code in fields.tree.items}
    return {code: worth for code, worth in found.items() if worth}


def _account(name: str, fields: Fields, decks: DeckShop) -> Account:
    return Account(
        name=name,
        group=fields.text("group"),
        private=decks.one(f"{name} (private)", fields.below("private")),
        gateways=fields.texts("gateways"),
        packages=fields.texts("packages"),
        mark=fields.tree.mark,
        agent=fields.text("agent"),
    )


def _phone(number: str, fields: Fields, decks: DeckShop) -> Phone:
    private = decks.one(f"{number} (private)", fields.below("private"))
    return Phone(number, fields.text("account"), private, fields.tree.mark)


def _package(name: str, fields: Fields) -> Package:
    return Package(
        name=name,
        minutes=fields.integer("minutes") or 0,
        prefixes=fields.texts("prefixes") or ("",),
        price=fields.parsed("price", parse_price) or Decimal(0),
        mark=fields.tree.mark,
    )


def _agent(name: str, fields: Fields) -> Agent:
    commission = fields.parsed("commission", parse_percent)
    if commission is None and "commission" not in fields:
        fields.error("missing-key", f"agent '{name}' lacks commission", hint="add commission: 5, in per cent")
    return Agent(name, commission or Decimal(0), fields.text("of") == "margin", fields.tree.mark)


def _check_names(fields: Fields, rates: Rates) -> None:
    accounts = fields.below("accounts")
    for _, entry in accounts.entries():
        _check(entry, "group", "rate group", rates.groups)
        _check(entry, "agent", "agent", rates.agents)
        for path, item in entry.scalars("packages"):
            if item.text not in rates.packages:
                _unknown(entry, path, item, "package", rates.packages)
    for _, entry in fields.below("phones").entries():
        _check(entry, "account", "account", rates.accounts)


def _check(fields: Fields, key: str, kind: str, known: Mapping[str, object]) -> None:
    value = fields.tree.items.get(key)
    if isinstance(value, Scalar) and value.value is not None and value.text not in known:
        _unknown(fields, fields.at(key), value, kind, known)


def _unknown(fields: Fields, path: str, value: Scalar, kind: str, known: Mapping[str, object]) -> None:
    message = f"no {kind} is named '{value.text}'{did_you_mean(value.text, known)}"
    rule = f"unknown-{kind.replace(' ', '-')}"
    hint = f"known: {listed(known) or 'none'}"
    fields.problems.error(rule, message, value.mark, path=path, hint=hint)


def _check_currencies(fields: Fields, rates: Rates) -> None:
    told: set[str] = set()
    for deck in rates.decks():
        if deck.currency in {"", rates.currency, *rates.exchange, *told}:
            continue
        told.add(deck.currency)
        message = f"deck '{deck.name}' is in {deck.currency}, and rates.exchange does not say what that is in {rates.currency}"
        hint = f"add exchange: {{{deck.currency}: …}}, what one {deck.currency} is in {rates.currency}"
        fields.problems.error("no-exchange", message, deck.mark, path=fields.at("exchange"), hint=hint)
