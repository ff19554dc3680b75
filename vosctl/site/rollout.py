"""How a play reaches its nodes: in which order, how many at a time, and what must hold before it goes on."""

from __future__ import annotations

import re
from decimal import Decimal
from enum import Enum

from msgspec import Struct

_SIZE = re.compile(r"([1-9][0-9]{0,5})(%)?")


class Order(Enum):
    """In which order a play's nodes are taken; Ansible's words."""

    INVENTORY = "inventory"
    REVERSE_INVENTORY = "reverse_inventory"
    SORTED = "sorted"
    REVERSE_SORTED = "reverse_sorted"
    SHUFFLE = "shuffle"


class Check(Enum):
    """What a health gate looks at."""

    RELAY = "relay"
    CALLS = "calls"
    COMMAND = "command"
    TRACE = "trace"
    ERRORS = "errors"


class Where(Enum):
    """Where a gate's command runs."""

    NODE = "node"
    CONTROLLER = "controller"


class Size(Struct, frozen=True):
    """A number of nodes or calls, or a percentage of them."""

    amount: int
    percent: bool = False

    @classmethod
    def parse(cls, text: str) -> Size:
        """Return the size in ``2`` or ``25%``; raise ValueError for anything else, or more than 100%."""
        found = _SIZE.fullmatch(text.strip())
        if found is None or (found[2] and int(found[1]) > 100):
            raise ValueError(f"'{text}' is neither a number from 1 nor a percentage up to 100%")
        return cls(int(found[1]), found[2] is not None)

    def of(self, total: int) -> int:
        """Return how many of ``total`` it is: percentages are rounded down, never to less than one."""
        return max(1, self.amount * total // 100) if self.percent else self.amount

    def __str__(self) -> str:
        return f"{self.amount}%" if self.percent else str(self.amount)


class Gate(Struct, frozen=True):
    """One thing that must hold on every node of a batch before the next begins.

    ``within``: seconds in which it has to hold (``relay``), in which the command has to end, or in which
    errors are counted. ``loss``, ``refused``: per cent of packets and of new calls that may be.
    ``lost``: how many of a node's calls may be gone after the batch (None: none). ``run``: the command;
    a text is for ``/bin/sh -c``.
    """

    check: Check
    within: float = 15.0
    lost: Size | None = None
    run: str | tuple[str, ...] = ""
    where: Where = Where.NODE
    loss: Decimal = Decimal(1)
    refused: Decimal = Decimal(1)

    def __str__(self) -> str:
        if self.check is not Check.COMMAND:
            return str(self.check.value)
        return f"command {self.run if isinstance(self.run, str) else ' '.join(self.run)}"


class Rollout(Struct, frozen=True):
    """How the ``hosts`` of one play are reached.

    ``serial``: the sizes of the batches, the last for all that follow; () is all at once.
    ``max_fail_percentage``: more failed nodes of a batch than that stop the run and take the batch back;
    None, as in Ansible: it stops when every node of a batch failed. ``pause``: seconds between batches.
    """

    name: str = ""
    hosts: tuple[str, ...] = ()
    serial: tuple[Size, ...] = ()
    max_fail_percentage: int | None = None
    order: Order = Order.INVENTORY
    pause: float = 0.0
    health: tuple[Gate, ...] = ()
