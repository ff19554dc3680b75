"""Makes the plan of one node: what it should be against what it is."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from vosctl.compile.desired import Desired
from vosctl.plan import compare, lockout
from vosctl.plan import filter as packet_filter
from vosctl.plan.change import Action, Change, Held, Kind, Plan
from vosctl.plan.observed import Observed
from vosctl.plan.risk import Risk
from vosctl.plan.services import services
from vosctl.plan.traffic import revisions
from vosctl.plan.users import users


def make_plan(desired: Desired, observed: Observed, *, fingerprint_key: bytes | None = None) -> Plan:
    """Return what an apply of ``desired`` would do to the node that was ``observed``.

    Changes stand in the order in which the node applies them. Secrets show as fingerprints under
    ``fingerprint_key`` (None: a key that lasts as long as this process). A plan whose packet
    filter may drop a new SSH connection from the controller carries a ``refusal``.
    """
    changes: list[Change] = []
    held: list[Held] = []
    for item in _items(desired, observed, changes, fingerprint_key):
        if isinstance(item, Held):
            held.append(item)
        else:
            changes.append(item)
    refusal = _refusal(desired, observed, changes)
    if refusal:
        changes = [_marked(change) for change in changes]
    filtering = any(change.kind in _FILTER for change in changes)
    found = tuple(revisions(desired, observed)) if filtering else ()
    return Plan(desired.node, tuple(changes), tuple(held), observed.digest, refusal, found)


def only_drift(plan: Plan) -> Plan:
    """Return the plan with only those changes that put back what moved on the node."""
    return replace(plan, changes=plan.drift, refusal="")


def _items(
    desired: Desired, observed: Observed, changes: list[Change], key: bytes | None
) -> Iterator[Change | Held]:
    yield from compare.packages(desired, observed)
    yield from compare.accounts(desired, observed)
    yield from compare.release(desired, observed)
    yield from users(desired, observed)
    yield from compare.files(desired, observed, key=key)
    yield from packet_filter.sets(desired, observed)
    yield from packet_filter.rulesets(desired, observed)
    yield from compare.sysctls(desired, observed)
    yield from services(desired, observed, changes)


_FILTER = (Kind.SET, Kind.RULESET)


def _refusal(desired: Desired, observed: Observed, changes: list[Change]) -> str:
    if observed.ssh is None or not any(change.kind in _FILTER for change in changes):
        return ""
    return lockout.check(desired, observed.ssh)


def _marked(change: Change) -> Change:
    if change.kind in _FILTER and change.action is not Action.REMOVE:
        return replace(change, risk=Risk.CUTS_CONTROLLER)
    return change
