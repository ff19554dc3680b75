"""How a packet filter tells of what it drops, and for how long it shuts offenders out."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum

from msgspec import Struct


class LogTo(Enum):
    """Who hears of dropped packets: a netlink group (ulogd, tcpdump), the kernel's log, nobody."""

    NFLOG = "nflog"
    KERNEL = "kernel"
    NONE = "none"


class Logging(Struct, frozen=True):
    """Samples of dropped packets, ``rate`` a minute for each reason; ``group`` is the netlink group."""

    to: LogTo = LogTo.NFLOG
    group: int = 5
    rate: int = 6


class Bans(Struct, frozen=True):
    """How long an offence shuts out: the first one, the second within a day, each later one.

    With ``automatic`` false only people ban.
    """

    automatic: bool = True
    first: timedelta = timedelta(minutes=10)
    second: timedelta = timedelta(hours=1)
    later: timedelta = timedelta(days=1)


DEFAULT_LOGGING = Logging()
DEFAULT_BANS = Bans()
