"""The options that say how nodes are reached one batch after another, in place of what the plays say."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import click
from msgspec import Struct

from vosctl.cli.options import Callback, grouped
from vosctl.push.schedule import Wishes
from vosctl.site.rollout import Order, Size

_MOST_SEED = 2**32 - 1


class RolloutArguments(Struct, frozen=True):
    """What the command line says of batches; None where it says nothing."""

    serial: str | None
    max_fail_percentage: int | None
    order: str | None
    pause: float | None
    no_health: bool
    seed: int | None

    @property
    def given(self) -> bool:
        """Whether anything was said."""
        return self != RolloutArguments(None, None, None, None, no_health=False, seed=None)

    def words(self) -> dict[str, Any]:
        """Return it as a file can keep it, with the seed that a shuffled order takes."""
        seed = random.SystemRandom().randint(0, _MOST_SEED) if self.seed is None else self.seed
        return {
            "serial": self.serial,
            "max_fail_percentage": self.max_fail_percentage,
            "order": self.order,
            "pause": self.pause,
            "health": not self.no_health,
            "seed": seed,
        }


def wishes_of(words: Mapping[str, Any]) -> Wishes:
    """Return what ``words`` ask for; raise ValueError where they make no sense."""
    serial, order = words["serial"], words["order"]
    return Wishes(
        serial=None if serial is None else _sizes(serial),
        max_fail_percentage=words["max_fail_percentage"],
        order=None if order is None else Order(order),
        pause=words["pause"],
        health=bool(words["health"]),
        seed=int(words["seed"]),
    )


def _sizes(text: str) -> tuple[Size, ...]:
    return tuple(Size.parse(part) for part in text.split(","))


def _serial(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        try:
            _sizes(value)
        except ValueError as error:
            raise click.BadParameter(f"{error}; write 2, 25% or 1,25%,100%") from None
    return value


_OPTIONS = (
    click.option("--serial", envvar="VOSCTL_SERIAL", callback=_serial,
                 help="Nodes at a time: 2, 25%, or a list as 1,25%,100%; wins over the plays'."),
    click.option("--max-fail-percentage", type=click.IntRange(0, 100), envvar="VOSCTL_MAX_FAIL_PERCENTAGE",
                 help="Stop and put a batch back when more of its nodes than this fail."),
    click.option("--order", type=click.Choice([order.value for order in Order]), envvar="VOSCTL_ORDER",
                 help="In which order nodes are taken."),
    click.option("--pause", type=click.FloatRange(0, 86400), envvar="VOSCTL_PAUSE",
                 help="Seconds between two batches."),
    click.option("--no-health", is_flag=True, help="Leave out the plays' health gates."),
    click.option("--seed", type=click.IntRange(0, _MOST_SEED), envvar="VOSCTL_SEED",
                 help="The seed of an earlier shuffled order, to have it again."),
)  # fmt: skip


def rollout_options(function: Callback) -> Callback:
    """Add the options of batches; the command gets one ``rollout: RolloutArguments``."""
    return grouped(function, "rollout", RolloutArguments, _OPTIONS)
