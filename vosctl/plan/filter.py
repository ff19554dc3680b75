"""Compares the packet filter: ipsets and rulesets, wanted against what the kernel holds."""

from __future__ import annotations

from collections.abc import Iterator

from vosctl.compile.desired import Desired, IpSet, Ruleset
from vosctl.plan.change import Action, Change, Held, Kind
from vosctl.plan.difference import members_diff, own_rules, rules_text, text_diff
from vosctl.plan.observed import Observed, RulesetState, SetState

Item = Change | Held
_NO_RULES = RulesetState(loaded=None, intact=True, then="", now="", text=None)


def sets(desired: Desired, observed: Observed) -> Iterator[Item]:
    """Yield ipsets to create, swap or destroy."""
    able = observed.ability("firewall")
    for wanted in desired.sets:
        state = observed.sets.get(wanted.name)
        if state is not None and state.digest == wanted.digest:
            continue
        if not able.ok:
            yield Held(Kind.SET, wanted.name, able.reason, fatal=observed.is_machine)
            continue
        yield _set(wanted, state, observed)
    for name in observed.orphan_sets:
        yield Change(Kind.SET, name, Action.REMOVE, detail="no longer in the site")


def _set(wanted: IpSet, state: SetState | None, observed: Observed) -> Change:
    last = observed.applied.sets.get(wanted.name) if observed.applied else None
    if state is None:
        count = len(wanted.members)
        filled = "filled by the node" if wanted.dynamic else f"{count} member{'' if count == 1 else 's'}"
        detail = f"{wanted.type}, {filled}"
        moved = last == wanted.digest
        return Change(
            Kind.SET, wanted.name, Action.CREATE, detail, members_diff((), wanted.members), drift=moved
        )
    moved = last is not None and last != state.digest
    if state.members is None:
        return Change(Kind.SET, wanted.name, Action.CHANGE, "too many members to show", drift=moved)
    diff = members_diff(state.members, wanted.members)
    detail = "" if diff else f"becomes {wanted.type} {wanted.options}".rstrip()
    return Change(Kind.SET, wanted.name, Action.CHANGE, detail, diff, drift=moved)


def rulesets(desired: Desired, observed: Observed) -> Iterator[Item]:
    """Yield rulesets to load and own chains to take out."""
    able = observed.ability("firewall")
    for wanted in desired.rulesets:
        state = observed.rulesets.get(wanted.family, _NO_RULES)
        if state.loaded == wanted.digest and state.intact:
            continue
        if able.ok:
            yield _ruleset(wanted, state, observed)
        else:
            yield Held(Kind.RULESET, f"v{wanted.family}", able.reason, fatal=observed.is_machine)
    for family, chain in observed.orphan_chains:
        yield Change(Kind.RULESET, f"v{family} {chain}", Action.REMOVE, detail="no longer in the site")


def _ruleset(wanted: Ruleset, state: RulesetState, observed: Observed) -> Change:
    name = f"v{wanted.family}"
    if state.loaded == wanted.digest:
        diff = _diff(name, rules_text(state.now), rules_text(state.then), to="as loaded")
        return Change(Kind.RULESET, name, Action.LOAD, "changed on the node", diff, drift=True)
    last = observed.applied.rulesets.get(str(wanted.family)) if observed.applied else None
    trusted = state.text is not None and state.loaded is not None and state.intact
    old = state.text if trusted and state.text is not None else own_rules(state.now)
    diff = _diff(name, old, wanted.text, to="site")
    if state.loaded is None:
        missing = last == wanted.digest
        detail = "not loaded since the node booted" if missing else _count(wanted)
        return Change(Kind.RULESET, name, Action.LOAD, detail, diff, drift=missing)
    detail = "" if state.intact else "changed on the node, too"
    return Change(Kind.RULESET, name, Action.CHANGE, detail, diff, drift=not state.intact)


def _diff(name: str, old: str, new: str, *, to: str) -> tuple[str, ...]:
    return text_diff(old, new, old_name=f"{name} (node)" if old else "/dev/null", new_name=f"{name} ({to})")


def _count(wanted: Ruleset) -> str:
    return f"{sum(line.startswith('-A') for line in wanted.text.splitlines())} rules"
