"""The two ends of a trunk during a rotation: brought to what the site says together, and asked what they hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from vosctl.compile.desired import Desired, Release
from vosctl.compile.site import compile_site
from vosctl.errors import VosctlError
from vosctl.push import api, trunk_keys
from vosctl.push.options import PushOptions
from vosctl.push.processor import Processor
from vosctl.push.result import HostResult, exit_code
from vosctl.push.rollout import GoBack
from vosctl.push.runner import run
from vosctl.push.schedule import Batch
from vosctl.relay.release import build_release
from vosctl.site.model import Site, Trunk
from vosctl.site.read import SiteOptions, read_site
from vosctl.site.rollout import Rollout

Results = Mapping[str, HostResult]


class RotationError(VosctlError):
    """A step of a rotation cannot be done now; ``results`` are the nodes', and say the exit code."""

    def __init__(
        self, message: str, *, hint: str = "", results: Results | None = None, code: int = 2
    ) -> None:
        super().__init__(message, hint=hint)
        self.results = results or {}
        self.exit_code = exit_code(self.results) or code


class Look(Struct, frozen=True):
    """What the ends hold: how many ``calls`` by end and key id, suspected key ``mismatches`` by end, what is ``wrong``."""

    calls: Mapping[str, Mapping[str, int]]
    mismatches: Mapping[str, int]
    wrong: Sequence[str]
    results: Results

    def holding(self, kids: Sequence[str]) -> int:
        """Return how many calls hold one of these keys, at the end that has the most of them."""
        return max((sum(held.get(kid, 0) for kid in kids) for held in self.calls.values()), default=0)


class Ends:
    """Reads the site and drives the nodes at the ends of trunks; ``processors`` see each exchange with them."""

    def __init__(self, site: SiteOptions, options: PushOptions, processors: Sequence[Processor] = ()) -> None:
        self.options = options
        self._site = replace(site, limit=None)
        self._processors = processors
        self._release: Release | None = None

    @property
    def site_options(self) -> SiteOptions:
        """Which site it is."""
        return self._site

    def read(self) -> Site:
        """Return the site as its files are now; raise InputError where they have errors."""
        site, problems = read_site(self._site)
        problems.raise_errors()
        return site

    def trunk(self, name: str) -> Trunk:
        """Return a trunk of the site as its files are now."""
        return trunks_of(self.read())[name]

    def settle(self, ends: Sequence[str], holders: Collection[str]) -> None:
        """Take back what a killed run of one of ``holders`` left unconfirmed on the ends, where they can be asked."""
        site = replace(self.read(), selected=tuple(ends))
        found = api.status_site(site, options=self.options)
        left = {name: result.report.get("pending") or {} for name, result in found.items()}
        ours = {
            name: str(waiting["id"]) for name, waiting in left.items() if waiting.get("holder") in holders
        }
        if ours:
            nodes = [site.nodes[name] for name in ours]
            reasons = dict.fromkeys(ours, "left by a run that was killed")
            run(nodes, GoBack(ours, reasons), options=self.options)

    def pending(self, ends: Sequence[str]) -> Results:
        """Return what an apply would change on the ends."""
        site, desired = self._compiled(ends)
        return api.plan_site(site, desired, options=self.options)

    def apply(self, ends: Sequence[str]) -> Results:
        """Bring the ends to what the site says, both or none: where one fails, the other is put back.

        Raises RotationError where they did not come there.
        """
        site, desired = self._compiled(ends)
        together = Batch(tuple(ends), Rollout(hosts=tuple(ends), max_fail_percentage=0))
        results = api.roll_out_site(
            site, desired, batches=(together,), options=_edited(self.options), processors=self._processors
        )
        bad = [result for result in results.values() if result.error is not None]
        if bad:
            words = "; ".join(str(result.error.message) for result in bad if result.error is not None)
            raise RotationError(words, results=results)
        return results

    def look(self, trunk: Trunk, site: Site | None = None, *, noise: bool = False) -> Look:
        """Ask both ends what they hold, and hold that against ``trunk``; ``site`` where it is read already.

        Suspected mismatches are asked for with ``noise`` only.
        """
        site = replace(site or self.read(), selected=tuple(trunk.ends))
        salt = trunk_keys.new_salt()
        results = api.keys_site(site, salt=salt, options=self.options)
        status = api.status_site(site, options=self.options) if noise else {}
        return Look(
            calls={end: _calls(results[end], trunk.name) for end in trunk.ends},
            mismatches={end: _mismatches(status[end]) for end in status},
            wrong=trunk_keys.disagreements(trunk, results, salt),
            results=results,
        )

    def _compiled(self, ends: Sequence[str]) -> tuple[Site, dict[str, Desired]]:
        if self._release is None:
            built = build_release()
            self._release = Release(version=built.version, digest=built.digest, archive=built.archive)
        site = replace(self.read(), selected=tuple(ends))
        return site, compile_site(site, release=self._release)


def _edited(options: PushOptions) -> PushOptions:
    """Return the options with the revision marked: a rotation has changed files since."""
    revision = options.revision
    if not revision or revision.endswith("-dirty"):
        return options
    return replace(options, revision=f"{revision}-dirty")


def trunks_of(site: Site) -> dict[str, Trunk]:
    """Return every trunk of the site by name."""
    return {trunk.name: trunk for node in site.nodes.values() for trunk in node.trunks.values()}


def _calls(result: HostResult, trunk: str) -> dict[str, int]:
    found = (result.report.get("trunks") or {}).get(trunk) or {}
    return {str(kid): int(count) for kid, count in (found.get("calls") or {}).items()}


def _mismatches(result: HostResult) -> int:
    totals = (result.report.get("relay") or {}).get("totals") or {}
    return int(totals.get("mismatches") or 0)
