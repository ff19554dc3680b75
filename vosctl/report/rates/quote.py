"""A quote with its arithmetic, line by line: what the caller pays, what each vendor takes, and the guard's verdict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vosctl.rates.billing import fraction_text
from vosctl.rates.guard import plain
from vosctl.rates.pricing import Price
from vosctl.rates.quote import Quote, Side, untaxed
from vosctl.rates.route import Vendor
from vosctl.report.rates.figures import add_numbers, percent, rounded, steps, warned
from vosctl.site.decks import Deck, Rate, Rates

_LINE_PLACES = 12


def screen(rates: Rates, quote: Quote, where: str) -> Group:
    """Return the quote of one caller; ``where`` names the nodes that give it."""
    return Group(*_parts(rates, quote, where))


def _parts(rates: Rates, quote: Quote, where: str) -> Iterator[RenderableType]:
    yield Text(headline(quote, where), style="bold")
    sold = quote.charged
    if sold is None:
        yield Text(
            "nobody sells it: no deck of this caller has a row for it, or the row is blocked",
            style="bold red",
        )
        return
    yield ""
    yield from _price(rates, "customer", sold)
    for other in quote.prices[1:]:
        yield Text(
            f"  not charged: {other.source}, {plain(other.amount)} {rates.currency} is dearer", style="dim"
        )
    best = quote.best
    if best is not None and best.price is not None:
        yield ""
        yield from _price(rates, f"vendor {_vendor(best.vendor)}", best.price)
        yield ""
        yield steps(list(_earned(rates, sold, best)))
    yield ""
    yield vendors(quote)
    if best is None:
        yield Text("no vendor may carry it", style="bold red")


def headline(quote: Quote, where: str) -> str:
    """Return who calls whom, for how long and when."""
    call, caller = quote.call, quote.caller
    who = caller.account or caller.group or caller.number or "?"
    return f"{call.number} for {call.seconds:f} s from {who}, {call.when:%Y-%m-%d %H:%M} UTC, on {where}"


def terms(rate: Rate) -> str:
    """Return a row's terms as people say them: ``0.006 a minute at 30/6``."""
    words = [f"{rate.rate:f} a minute at {rate.first_seconds or rate.cycle}/{rate.cycle}"]
    if rate.first_seconds and rate.first_rate != rate.rate:
        words.append(f"{rate.first_rate:f} in the first {rate.first_seconds} s")
    if rate.section:
        words.append(f"section {rate.section}")
    return ", ".join(words)


def _price(rates: Rates, who: str, price: Price) -> Iterator[RenderableType]:
    rate, deck = price.rate, price.deck
    currency = deck.currency or rates.currency
    prefix = f"prefix {rate.prefix}" if rate.prefix else "the row for all others"
    place = f" ({rate.destination})" if rate.destination else ""
    whose = price.source or f"deck {deck.name}"
    yield Text.assemble((who, "bold"), f": {whose}, {prefix}{place}")
    yield Text.assemble(f"  {terms(rate)}  ", (f"{rate.mark.file}:{rate.mark.line}", "dim"))
    rows = [(f"  {line.what}", line.working, fraction_text(line.amount)) for line in price.bill.lines]
    rows.append(("  charged", _rounding(deck), f"{plain(price.bill.total)} {currency}"))
    if price.amount != price.bill.total or currency != rates.currency:
        working = f"{plain(price.bill.total)} × {plain(rates.worth(deck))}"
        rows.append(("  exchanged", working, f"{plain(price.amount)} {rates.currency}"))
    yield steps(rows)


def _rounding(deck: Deck) -> str:
    kind = deck.rounding.kind.removeprefix("ROUND_").lower().replace("_", "-")
    return f"rounded to {deck.rounding.places} places, {kind}"


def _earned(rates: Rates, sold: Price, best: Side) -> Iterator[tuple[str, str, str]]:
    assert best.price is not None
    assert best.profit is not None
    earned, paid = untaxed(rates, sold), untaxed(rates, best.price)
    taxes = " (without taxes)" if sold.deck.tax or best.price.deck.tax else ""
    yield f"profit{taxes}", f"{plain(earned)} − {plain(paid)}", f"{plain(best.profit)} {rates.currency}"
    if best.margin is not None:
        yield "margin", f"{plain(best.profit)} ÷ {plain(earned)}", percent(best.margin)
    if best.markup is not None:
        yield "markup", f"{plain(best.profit)} ÷ {plain(paid)}", percent(best.markup)


def vendors(quote: Quote) -> Table:
    """Return every vendor in order, with what the guard says of it."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("vendor", overflow="fold")
    columns = (("a minute", _minute), ("costs", _cost), ("profit", _profit))
    figures = [add_numbers(table, heading, [text(side) for side in quote.sides]) for heading, text in columns]
    table.add_column("margin", justify="right", no_wrap=True)
    table.add_column("guard", overflow="fold")
    for side, minute, cost, profit in zip(quote.sides, *figures, strict=True):
        losing = side.open and side.profit is not None and side.profit < 0
        cells = (warned(text, bad=losing) for text in (profit, percent(side.margin), verdict(side)))
        style = "" if side.open else "dim"
        table.add_row(_vendor(side.vendor), minute, cost, *cells, style=style)
    return table


def _minute(side: Side) -> str:
    """Return the vendor's rate in the site's currency."""
    return f"{(side.price.rate.rate * side.vendor.worth).normalize():f}" if side.price else "-"


def _cost(side: Side) -> str:
    return plain(side.price.amount) if side.price else "-"


def _profit(side: Side) -> str:
    return "-" if side.profit is None else plain(side.profit)


def verdict(side: Side) -> str:
    """Return what the guard says: locked and why, or open; and whether it loses all the same."""
    if side.locked:
        return f"locked: {side.locked}"
    if side.price is None:
        return "no rate for it"
    if side.vendor.guard is None:
        return "loses, no guard" if side.profit is not None and side.profit < 0 else "open, no guard"
    return "open, loses" if side.profit is not None and side.profit < 0 else "open"


def _vendor(vendor: Vendor) -> str:
    return f"{vendor.name} via {vendor.via}" if vendor.via else vendor.name


def as_json(rates: Rates, quote: Quote, nodes: list[str]) -> dict[str, Any]:
    """Return the quote for programs; all figures are decimal texts."""
    call, best = quote.call, quote.best
    return {
        "nodes": nodes,
        "number": call.number,
        "from": quote.caller.account or quote.caller.group or quote.caller.number,
        "at": call.when.isoformat(),
        "seconds": f"{call.seconds:f}",
        "currency": rates.currency,
        "sold": quote.charged is not None,
        "prices": [_price_json(rates, price) for price in quote.prices],
        "vendors": [_side_json(rates, side) for side in quote.sides],
        "vendor": best.vendor.name if best else None,
        "profit": plain(best.profit) if best and best.profit is not None else None,
    }


def _price_json(rates: Rates, price: Price) -> dict[str, Any]:
    rate = price.rate
    return {
        "deck": price.deck.name,
        "source": price.source or None,
        "prefix": rate.prefix,
        "destination": rate.destination or None,
        "place": f"{rate.mark.file}:{rate.mark.line}",
        "rate": plain(rate.rate),
        "lines": [
            {
                "what": line.what,
                "working": line.working,
                "amount": plain(rounded(line.amount, _LINE_PLACES)),
                "exact": str(line.amount),
            }
            for line in price.bill.lines
        ],
        "charged_seconds": price.bill.seconds,
        "charged": plain(price.bill.total),
        "currency": price.deck.currency or rates.currency,
        "amount": plain(price.amount),
    }


def _side_json(rates: Rates, side: Side) -> dict[str, Any]:
    return {
        "vendor": side.vendor.name,
        "via": side.vendor.via,
        "open": side.open,
        "guard": verdict(side),
        "cost": _price_json(rates, side.price) if side.price else None,
        "profit": None if side.profit is None else plain(side.profit),
        "margin_percent": None if side.margin is None else percent(side.margin).removesuffix(" %"),
        "markup_percent": None if side.markup is None else percent(side.markup).removesuffix(" %"),
    }
