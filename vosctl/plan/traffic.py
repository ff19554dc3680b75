"""What a plan's changes of the packet filter do to traffic: the filter as it is and as it will be, compared in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from vosctl.compile.desired import Desired, IpSet, Ruleset
from vosctl.firewall.analysis.compare import compare
from vosctl.plan.observed import Observed

_MOST = 20


class Revision(Struct, frozen=True):
    """One family's filter before and after, each with its sets."""

    old: Ruleset
    old_sets: tuple[IpSet, ...]
    new: Ruleset
    new_sets: tuple[IpSet, ...]


def revisions(desired: Desired, observed: Observed) -> Iterator[Revision]:
    """Yield each family's filter as it is and as it will be, where vosctl's own rules run and either differs."""
    old_sets = tuple(_as_is(wanted, observed) for wanted in desired.sets)
    for wanted in desired.rulesets:
        state = observed.rulesets.get(wanted.family)
        if state is None or state.loaded is None or not state.intact:
            continue
        text = wanted.text if state.loaded == wanted.digest else state.text
        if text is not None and (text != wanted.text or old_sets != desired.sets):
            hooks = tuple(hook for hook in wanted.hooks if f":{hook.chain} " in text)
            yield Revision(Ruleset(wanted.family, text, hooks), old_sets, wanted, desired.sets)


def _as_is(wanted: IpSet, observed: Observed) -> IpSet:
    state = observed.sets.get(wanted.name)
    if state is None:
        return replace(wanted, members=())
    return wanted if state.members is None else replace(wanted, members=state.members)


def effects(found: Iterable[Revision]) -> list[str]:
    """Return the traffic that is newly accepted and newly dropped, a line each, the families together.

    Exact over every header field; takes a second or two for a ruleset of some hundred rules.
    """
    lines: dict[str, None] = {}
    for revision in found:
        moved = compare((revision.old, revision.old_sets), (revision.new, revision.new_sets))
        lines.update(dict.fromkeys(f"IPv{revision.new.family} {each}" for each in moved))
    shown = list(lines)[:_MOST]
    return [*shown, f"and {len(lines) - _MOST} more"] if len(lines) > _MOST else shown
