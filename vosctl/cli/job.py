"""What an apply is to do: what the command line says, what is left of the last run, or what a stored plan says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from vosctl.cli.loading import load_compiled, prove_compiled, runs_of, with_failed
from vosctl.cli.options import SiteArguments
from vosctl.cli.rollout import RolloutArguments, wishes_of
from vosctl.compile.desired import Desired
from vosctl.errors import UsageError, VosctlError
from vosctl.push.fingerprint import Fingerprint
from vosctl.push.journal import DONE, Run
from vosctl.push.options import PushOptions
from vosctl.push.planfile import PlanFile
from vosctl.push.schedule import Batch, Wishes, regroup, schedule
from vosctl.site.model import Site


class Job(Struct, frozen=True):
    """A site and the batches of a run. ``done``: the statuses of nodes that an earlier part of it reached.

    ``site.selected`` are the nodes of ``batches``, in their order. ``stored`` is the plan that must still
    hold, None where the run makes its own. ``sealing`` is the fingerprint for new files, where one was begun.
    """

    arguments: SiteArguments
    site: Site
    desired: Mapping[str, Desired]
    words: Mapping[str, Any]
    whole: tuple[Batch, ...]
    done: Mapping[str, str] = field(default_factory=dict)
    stored: PlanFile | None = None
    sealing: Fingerprint | None = None

    @property
    def batches(self) -> tuple[Batch, ...]:
        """The batches without the nodes that are done."""
        return regroup(
            self.whole, (name for batch in self.whole for name in batch.nodes if name not in self.done)
        )

    @property
    def wishes(self) -> Wishes:
        """What the command line, or the one of the earlier run, said of batches."""
        return wishes_of(self.words)

    def fingerprint(self, salt: str | None = None) -> Fingerprint:
        """Return the fingerprint that files of this run are written with."""
        if salt is None and self.sealing is not None:
            return self.sealing
        return Fingerprint(self.desired, salt)

    def run(self, options: PushOptions) -> Run:
        """Return the run for the journal."""
        fingerprint = self.fingerprint()
        batches = [list(batch.nodes) for batch in self.whole]
        return Run(
            started=now(),
            holder=options.holder,
            revision=options.revision,
            salt=fingerprint.salt,
            fingerprint=fingerprint.of_site(self.desired, self.whole),
            arguments=arguments_of(self.arguments),
            wishes=dict(self.words),
            batches=batches,
            nodes={name: self.done.get(name, "untouched") for names in batches for name in names},
        )


def now() -> str:
    """Return the moment in UTC, as 2026-01-31T14:05:09Z."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def arguments_of(site: SiteArguments) -> dict[str, Any]:
    """Return how the site was named, as a file can keep it; variables of ``-e`` may be secret and stay out."""
    return {
        "playbook": str(site.playbook) if site.playbook is not None else None,
        "inventory": [str(path) for path in site.inventory],
        "limit": site.limit,
    }


def fresh(site: SiteArguments, rollout: RolloutArguments, *, keeps: bool) -> Job:
    """Return the job that the command line describes; raise InputError for a site with errors.

    Where a file ``keeps`` it, journal or plan, the key for that is made while the site is proven.
    """
    site = replace(site, limit=with_failed(site))
    return _job(site, rollout.words(), seals=keeps)


def resumed(site: SiteArguments, rollout: RolloutArguments) -> Job | str:
    """Return the job that is left of the last run, or why there is none; raise where the site is another one now."""
    _refuse(site, rollout, "--resume goes on with the last run as it was")
    run = runs_of(site).last()
    if run is None:
        raise UsageError("--resume: there was no apply here yet", hint="runs are kept in .vosctl/runs")
    if not run.left:
        return f"nothing is left of the last apply, at {run.started}"
    job = _job(_named(site, run.arguments), run.wishes)
    _compare(
        job, run.salt, run.fingerprint, f"the apply at {run.started}", "a new apply takes the site as it is"
    )
    site_left = replace(job.site, selected=run.left)
    return replace(job, site=site_left, done={n: status for n, status in run.nodes.items() if status in DONE})


def planned(site: SiteArguments, rollout: RolloutArguments, stored: PlanFile) -> Job:
    """Return the job of a stored plan; raise where the site is another one now."""
    _refuse(site, rollout, "a stored plan says itself which nodes and batches it is for")
    job = _job(_named(replace(site, playbook=None), stored.arguments), stored.wishes)
    _compare(job, stored.salt, stored.fingerprint, f"the plan of {stored.made}", "make the plan anew")
    return replace(job, stored=stored)


def _job(site: SiteArguments, words: Mapping[str, Any], *, seals: bool = False) -> Job:
    checked, desired = load_compiled(site)
    sealing = Fingerprint(desired) if seals else None
    prove_compiled(site, checked, desired)
    wanted = {name: desired[name] for name in checked.selected}
    batches = schedule(checked, wishes_of(words))
    names = tuple(name for batch in batches for name in batch.nodes)
    return Job(site, replace(checked, selected=names), wanted, words, batches, sealing=sealing)


def _refuse(site: SiteArguments, rollout: RolloutArguments, why: str) -> None:
    if site.limit is not None or rollout.given:
        raise UsageError(f"{why}: leave out --limit and what speaks of batches")


def _named(site: SiteArguments, words: Mapping[str, Any]) -> SiteArguments:
    playbook = site.playbook or (Path(words["playbook"]) if words["playbook"] else None)
    inventory = site.inventory or tuple(map(Path, words["inventory"]))
    return replace(site, playbook=playbook, inventory=inventory, limit=words["limit"])


def _compare(job: Job, salt: str, fingerprint: str, what: str, hint: str) -> None:
    if job.fingerprint(salt).of_site(job.desired, job.whole) != fingerprint:
        raise VosctlError(
            f"the site is not any more what {what} was made from: files, -e variables or vosctl itself changed",
            hint=hint,
        )
