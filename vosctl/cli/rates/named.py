"""A deck of the site by its name, from the nodes that are selected."""

from __future__ import annotations

from collections.abc import Iterator

from vosctl.errors import UsageError
from vosctl.site.decks import Account, Deck, Phone
from vosctl.site.model import Site
from vosctl.site.suggest import did_you_mean, listed

KINDS = ("group", "clearing", "private")


def deck_named(site: Site, name: str, kind: str | None = None) -> Deck:
    """Return the deck of that name; ``kind`` decides where a group and a clearing deck share it.

    Raises UsageError where there is none, and where nodes have different ones.
    """
    found = {
        (sort, id(deck)): deck for sort, deck in decks(site) if deck.name == name and kind in {None, sort}
    }
    if not found:
        known = sorted({deck.name for sort, deck in decks(site) if kind in {None, sort}})
        raise UsageError(
            f"the site has no deck '{name}'{did_you_mean(name, known)}",
            hint=f"its decks: {listed(known) or 'none'}",
        )
    if len({sort for sort, _ in found}) > 1:
        raise UsageError(
            f"'{name}' names a rate group and a clearing deck",
            hint="say which: --kind group or --kind clearing",
        )
    if len(found) > 1:
        raise UsageError(f"nodes have different decks named '{name}'", hint="choose one with --limit")
    return next(iter(found.values()))


def decks(site: Site) -> Iterator[tuple[str, Deck]]:
    """Yield kind and deck of every deck of the nodes selected; one that nodes share comes once for each."""
    for node in (site.nodes[name] for name in site.selected):
        yield from (("group", deck) for deck in node.rates.groups.values())
        yield from (("clearing", deck) for deck in node.rates.clearing.values())
        owners: list[Account | Phone] = [*node.rates.accounts.values(), *node.rates.phones.values()]
        for owner in owners:
            if owner.private is not None:
                yield "private", owner.private
