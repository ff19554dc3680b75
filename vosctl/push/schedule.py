"""Splits a site's nodes into the batches in which they are changed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from vosctl.site.model import Site
from vosctl.site.rollout import Order, Rollout, Size


class Batch(Struct, frozen=True):
    """Nodes that are changed together, and the rollout that says what must hold afterwards."""

    nodes: tuple[str, ...]
    rollout: Rollout


class Wishes(Struct, frozen=True):
    """What the command line says instead of the plays; None leaves it to them.

    ``health`` False leaves the gates out. ``seed`` is that of ``Order.SHUFFLE``.
    """

    serial: tuple[Size, ...] | None = None
    max_fail_percentage: int | None = None
    order: Order | None = None
    pause: float | None = None
    health: bool = True
    seed: int = 0


def schedule(site: Site, wishes: Wishes) -> tuple[Batch, ...]:
    """Return the batches of all plays, in their order; every selected node is in one of them."""
    rollouts = site.rollouts or (Rollout(hosts=tuple(site.selected)),)
    return tuple(batch for rollout in rollouts for batch in _batches(_wished(rollout, wishes), wishes.seed))


def regroup(batches: Iterable[Batch], left: Iterable[str]) -> tuple[Batch, ...]:
    """Return the batches with only those nodes that are ``left``, empty ones left out."""
    wanted = frozenset(left)
    kept = (replace(batch, nodes=tuple(n for n in batch.nodes if n in wanted)) for batch in batches)
    return tuple(batch for batch in kept if batch.nodes)


def _wished(rollout: Rollout, wishes: Wishes) -> Rollout:
    most = wishes.max_fail_percentage
    return replace(
        rollout,
        serial=rollout.serial if wishes.serial is None else wishes.serial,
        max_fail_percentage=rollout.max_fail_percentage if most is None else most,
        order=wishes.order or rollout.order,
        pause=rollout.pause if wishes.pause is None else wishes.pause,
        health=rollout.health if wishes.health else (),
    )


def _batches(rollout: Rollout, seed: int) -> list[Batch]:
    left = _ordered(rollout, seed)
    sizes = list(rollout.serial) or [Size(100, percent=True)]
    total, found = len(left), []
    while left:
        count = (sizes.pop(0) if len(sizes) > 1 else sizes[0]).of(total)
        found.append(Batch(tuple(left[:count]), rollout))
        left = left[count:]
    return found


def _ordered(rollout: Rollout, seed: int) -> Sequence[str]:
    hosts = list(rollout.hosts)
    if rollout.order in (Order.SORTED, Order.REVERSE_SORTED):
        hosts.sort()
    if rollout.order in (Order.REVERSE_INVENTORY, Order.REVERSE_SORTED):
        hosts.reverse()
    if rollout.order is Order.SHUFFLE:
        random.Random(seed).shuffle(hosts)  # noqa: S311  an order to work in, not a secret
    return hosts
