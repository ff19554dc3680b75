"""What the command line does to nodes: plan, apply, confirm, roll back, ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from vosctl.compile.desired import Desired
from vosctl.push import bans, operations, trunk_keys
from vosctl.push.apply import Apply
from vosctl.push.drain import Drain
from vosctl.push.journal import Entry
from vosctl.push.options import PushOptions
from vosctl.push.processor import Processor, Stream
from vosctl.push.result import HostResult, Status
from vosctl.push.rollout import RollOut
from vosctl.push.runner import run
from vosctl.push.schedule import Batch
from vosctl.secret import Secret
from vosctl.site.model import Node, Site

Results = dict[str, HostResult]


def plan_site(
    site: Site, desired: Mapping[str, Desired], *, options: PushOptions, processors: Sequence[Processor] = ()
) -> Results:
    """Return for each selected node what an apply would do; nothing is changed.

    A result is ``changed`` when its plan is not empty. Errors are in the results, never raised.
    """
    return run(_nodes(site), operations.Inspect(desired), options=options, processors=processors)


def apply_site(
    site: Site, desired: Mapping[str, Desired], *, options: PushOptions, processors: Sequence[Processor] = ()
) -> Results:
    """Bring each selected node to its desired state: inspect, plan, apply, confirm.

    With ``options.check`` it is ``plan_site``. Errors are in the results, never raised.
    """
    if options.check:
        return plan_site(site, desired, options=options, processors=processors)
    return run(_nodes(site), Apply(desired), options=options, processors=processors)


def roll_out_site(
    site: Site,
    desired: Mapping[str, Desired],
    *,
    batches: Sequence[Batch],
    options: PushOptions,
    entry: Entry | None = None,
    accepts: Callable[[str, str], bool] | None = None,
    processors: Sequence[Processor] = (),
) -> Results:
    """Apply to the nodes of ``batches``, batch after batch, each held against its health gates before the next.

    ``accepts``: see ``Apply``. Errors are in the results, never raised.
    """
    apply = Apply(desired, accepts)
    return RollOut(site, apply, batches, options, Stream(processors), entry).run()


def verify_site(
    site: Site,
    desired: Mapping[str, Desired],
    *,
    accepts: Callable[[str, str], bool],
    options: PushOptions,
    processors: Sequence[Processor] = (),
) -> Results:
    """Look at each selected node; {} where ``accepts`` holds for all of them.

    Otherwise return a failure for each that moved or cannot be asked, and ``untouched`` for the others.
    """
    found = plan_site(site, desired, options=options, processors=processors)
    for name, result in found.items():
        if result.error is None and result.plan is not None and not accepts(name, result.plan.observed):
            found[name] = replace(result, status=Status.FAILED, error=operations.moved(name))
    bad = [name for name, result in found.items() if result.error is not None]
    words = {"outcome": f"not touched: the plan does not hold for {', '.join(bad[:5])}"}
    return {
        name: result if name in bad else HostResult(name, Status.UNTOUCHED, report=words)
        for name, result in found.items()
        if bad
    }


def history_site(site: Site, *, options: PushOptions, processors: Sequence[Processor] = ()) -> Results:
    """Return under ``history`` in ``report`` the records of each selected node's last applies, oldest first."""
    return run(_nodes(site), operations.Ask("history"), options=options, processors=processors)


def drift_site(
    site: Site, desired: Mapping[str, Desired], *, options: PushOptions, processors: Sequence[Processor] = ()
) -> Results:
    """Return for each selected node a plan that holds only what moved there since the last apply."""
    return run(_nodes(site), operations.Drift(desired), options=options, processors=processors)


def confirm_site(site: Site, *, options: PushOptions, processors: Sequence[Processor] = ()) -> Results:
    """Confirm what waits for it on each selected node; a node with nothing pending is ``ok``."""
    return run(_nodes(site), operations.Confirm(), options=options, processors=processors)


def rollback_site(
    site: Site, *, options: PushOptions, processors: Sequence[Processor] = (), drain: bool = False
) -> Results:
    """Put each selected node back: a pending apply, else the last confirmed one.

    ``drain``: where calls would be cut off, wait for their end first, at most ``relay.drain``.
    """
    return run(_nodes(site), operations.Rollback(drain), options=options, processors=processors)


def status_site(
    site: Site,
    *,
    options: PushOptions,
    processors: Sequence[Processor] = (),
    desired: Mapping[str, Desired] | None = None,
) -> Results:
    """Return each selected node's status in ``report``: applied, pending, lock, relay, journal.

    With ``desired`` also ``drift`` (names of what moved) and ``changes`` (how much the site would change beside).
    """
    operation = operations.Ask("status") if desired is None else operations.Look(desired)
    return run(_nodes(site), operation, options=options, processors=processors)


def facts_site(site: Site, *, options: PushOptions, processors: Sequence[Processor] = ()) -> Results:
    """Return each selected node's facts in ``report``."""
    return run(_nodes(site), operations.Ask("facts"), options=options, processors=processors)


def calls_site(site: Site, *, options: PushOptions, processors: Sequence[Processor] = ()) -> Results:
    """Return under ``calls`` in ``report`` what each selected node's relay carries now."""
    return run(_nodes(site), operations.Ask("calls"), options=options, processors=processors)


def drain_site(
    site: Site, *, drain: Drain, options: PushOptions, processors: Sequence[Processor] = ()
) -> Results:
    """Drain each selected node's relay, or take that back. Errors are in the results, never raised."""
    return run(_nodes(site), drain, options=options, processors=processors)


def keys_site(
    site: Site, *, salt: Secret, options: PushOptions, processors: Sequence[Processor] = ()
) -> Results:
    """Return under ``trunks`` in ``report`` what keys each selected node's relay holds, fingerprinted under ``salt``.

    ``trunk_keys.disagreements`` compares them with the site.
    """
    return run(_nodes(site), trunk_keys.AskKeys(salt), options=options, processors=processors)


def follow(
    site: Site,
    what: str,
    *,
    options: PushOptions,
    pause: float,
    heard: Callable[[HostResult], None],
    processors: Sequence[Processor] = (),
) -> Results:
    """Hand each selected node's ``calls`` or ``counters`` to ``heard``, every ``pause`` seconds over one connection.

    Returns when every node has failed; KeyboardInterrupt ends it. ``heard`` is called from many threads.
    """
    operation = operations.Follow(what, pause=pause, heard=heard)
    return run(_nodes(site), operation, options=options, processors=processors)


def counters_site(site: Site, *, options: PushOptions, processors: Sequence[Processor] = ()) -> Results:
    """Return under ``counters`` in ``report`` what each selected node's packet filter has counted."""
    return run(_nodes(site), operations.Ask("counters"), options=options, processors=processors)


def bans_site(site: Site, *, options: PushOptions, processors: Sequence[Processor] = ()) -> Results:
    """Return under ``bans`` in ``report`` whom each selected node keeps out by name, and since when."""
    return run(_nodes(site), operations.Ask("bans"), options=options, processors=processors)


def ban_site(
    site: Site, *, ban: bans.Ban | bans.Unban, options: PushOptions, processors: Sequence[Processor] = ()
) -> Results:
    """Ban on each selected node, or take a ban back. Errors are in the results, never raised."""
    return run(_nodes(site), ban, options=options, processors=processors)


def _nodes(site: Site) -> list[Node]:
    return [site.nodes[name] for name in site.selected]
