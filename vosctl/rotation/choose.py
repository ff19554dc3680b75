"""Which trunks are to get a new key: those named, all, or those whose key is old."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from vosctl.errors import UsageError
from vosctl.site.model import Encryption, Key, Site, Trunk
from vosctl.site.suggest import did_you_mean

KEYED = (Encryption.XOR, Encryption.RC4, Encryption.AES128)
"""Modes whose keys are the site's; SRTP agrees on them itself, call by call."""


class Chosen(Struct, frozen=True):
    """A trunk to rotate; ``age`` is its key's, None where nobody wrote when it was made."""

    trunk: Trunk
    age: timedelta | None


def choose(
    site: Site,
    names: Sequence[str],
    *,
    moment: datetime,
    older_than: timedelta | None = None,
    mode: Encryption | None = None,
) -> list[Chosen]:
    """Return the trunks called ``names``, else all with keys, both of whose ends are selected; raise UsageError.

    A trunk that is SRTP has no key to rotate, but may change to another ``mode`` where it is named.
    With ``older_than`` only those whose key is at least that old. Where nobody wrote when it was made it
    counts as old: whoever cannot tell has waited long enough.
    """
    known = {
        trunk.name: trunk
        for name in site.selected
        for trunk in site.nodes[name].trunks.values()
        if set(trunk.ends) <= set(site.selected)
        and (trunk.encryption in KEYED or _leaves_srtp(trunk, names, mode))
    }
    for name in names:
        if name not in known:
            raise UsageError(
                f"no trunk with keys is called {name}{did_you_mean(name, known)}",
                hint=f"there are: {', '.join(known) or 'none'}",
            )
    found = [Chosen(known[name], age_of(known[name].key, moment)) for name in names or known]
    return [one for one in found if older_than is None or one.age is None or one.age >= older_than]


def _leaves_srtp(trunk: Trunk, names: Sequence[str], mode: Encryption | None) -> bool:
    return trunk.encryption is Encryption.SRTP and trunk.name in names and mode in KEYED


def age_of(key: Key | None, moment: datetime) -> timedelta | None:
    """Return how old a key is, None where nobody wrote when it was made."""
    return None if key is None or key.created is None else max(moment - key.created, timedelta())


def told_age(age: timedelta | None) -> str:
    """Return an age as people say it: 12 days, 5 hours, 3 minutes; ``of unknown age``."""
    if age is None:
        return "of unknown age"
    for unit, length in (
        ("day", timedelta(days=1)),
        ("hour", timedelta(hours=1)),
        ("minute", timedelta(minutes=1)),
    ):
        count = age // length
        if count:
            return f"{count} {unit}{'' if count == 1 else 's'} old"
    return "new"
