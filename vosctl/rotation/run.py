"""Rotates the key of a trunk step by step; each step can be done again from its start, so that any machine can go on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

from vosctl.errors import UsageError
from vosctl.push.options import PushOptions
from vosctl.push.processor import Processor
from vosctl.rotation import edit
from vosctl.rotation.ends import Ends, RotationError, trunks_of
from vosctl.rotation.events import Told, Watcher, Wishes
from vosctl.rotation.files import place_of, read_document
from vosctl.rotation.generate import new_name
from vosctl.rotation.state import Rotations, State, Step, now
from vosctl.rotation.steps import Rotation
from vosctl.site.model import Encryption, Site, Trunk
from vosctl.site.read import SiteOptions, site_folder

_FEW = 3


def rotate(
    site: SiteOptions,
    options: PushOptions,
    trunks: Sequence[str],
    *,
    wishes: Wishes | None = None,
    watchers: Sequence[Watcher] = (),
    processors: Sequence[Processor] = (),
    mode: Encryption | None = None,
) -> list[dict[str, Any]]:
    """Give each trunk a new key, one trunk after the other, and return their reports.

    Stops at the first that fails: RotationError (its exit code says how), UsageError, InputError. Before
    new calls use the new key, that trunk and its files are as they were; afterwards ``resume`` goes on.
    """
    run = _Run(site, options, wishes or Wishes(), watchers, processors)
    with run.rotations.alone(options.holder):
        for name in trunks:
            run.refuse_second(name)
        return [run.rotate(name, mode) for name in trunks]


def resume(
    site: SiteOptions,
    options: PushOptions,
    trunks: Sequence[str] = (),
    *,
    wishes: Wishes | None = None,
    watchers: Sequence[Watcher] = (),
    processors: Sequence[Processor] = (),
    back: bool = False,
) -> list[dict[str, Any]]:
    """Go on with the rotations under way (of ``trunks``, else of all), or with ``back`` undo them; return their reports."""
    run = _Run(site, options, wishes or Wishes(), watchers, processors)
    with run.rotations.alone(options.holder):
        states = [state for state in run.rotations.under_way() if not trunks or state.trunk in trunks]
        missing = [name for name in trunks if name not in {state.trunk for state in states}]
        if missing:
            raise UsageError(f"no rotation is under way on trunk {', '.join(missing)}")
        return [run.go_on(state, back=back) for state in states]


class _Run:
    """One run of the command over rotations."""

    def __init__(
        self,
        site: SiteOptions,
        options: PushOptions,
        wishes: Wishes,
        watchers: Sequence[Watcher],
        processors: Sequence[Processor],
    ) -> None:
        self.ends = Ends(site, options, processors)
        self.rotations = Rotations(site_folder(site))
        self.who = options.holder
        self.wishes = wishes
        self._watchers = watchers

    def refuse_second(self, trunk: str) -> None:
        """Raise UsageError where the trunk's rotation is under way."""
        found = self.rotations.of(trunk)
        if found is not None:
            raise UsageError(str(found), hint="go on with it: --resume; go back to the old key: --abort")

    def rotate(self, name: str, mode: Encryption | None) -> dict[str, Any]:
        """Give the trunk a new key and return the report."""
        site = self.ends.read()
        trunk = trunks_of(site).get(name)
        if trunk is None:
            raise UsageError(f"no trunk is called {name}", hint=f"there are: {', '.join(trunks_of(site))}")
        state = self._begin(site, trunk, mode or trunk.encryption)
        self._check_start(trunk)
        rotation = self._rotation(state)
        rotation.stage_or_undo()
        return rotation.go_on(Step.ACTIVATE)

    def go_on(self, state: State, *, back: bool) -> dict[str, Any]:
        """Bring a rotation under way to its end, or go back with it."""
        rotation = self._rotation(state)
        rotation.settle()
        if back and not state.now.goes_back:
            rotation.turn()
        return rotation.go_on(rotation.state.now)

    def tell(self, event: Told) -> None:
        """Tell every watcher."""
        for watcher in self._watchers:
            watcher.told(event)

    def _rotation(self, state: State) -> Rotation:
        return Rotation(
            state,
            ends=self.ends,
            rotations=self.rotations,
            who=self.who,
            wishes=self.wishes,
            tell=self.tell,
        )

    def _begin(self, site: Site, trunk: Trunk, mode: Encryption) -> State:
        if trunk.encryption is Encryption.NONE or Encryption.SRTP is trunk.encryption is mode:
            raise UsageError(
                f"trunk {trunk.name} is {trunk.encryption.value}: it has no key of ours to rotate"
            )
        old = trunk.key.name if trunk.key else ""
        place = place_of(self.ends.site_options, trunk.name, old or None)
        document = read_document(place.trunk)
        moment = datetime.now(timezone.utc)
        taken = {key.name for other in trunks_of(site).values() for key in other.accept}
        return State(
            id=uuid4().hex,
            trunk=trunk.name,
            ends=list(trunk.ends),
            who=self.who,
            started=now(),
            old=old,
            new="" if mode is Encryption.SRTP else new_name(trunk.name, moment, taken),
            mode=trunk.encryption.value,
            new_mode=mode.value,
            accept=edit.accepted(document, trunk.name) if edit.has_accept(document, trunk.name) else None,
            retires=[key.name for key in trunk.accept],
        )

    def _check_start(self, trunk: Trunk) -> None:
        """Raise RotationError unless both ends answer, hold just the site's keys, and have nothing else to be applied."""
        look = self.ends.look(trunk)
        if look.wrong:
            raise RotationError(
                f"trunk {trunk.name} is not rotated: {'; '.join(look.wrong)}",
                hint=f"bring both ends to the site first: vosctl apply -l {','.join(trunk.ends)}; or another"
                " rotation is under way elsewhere: vosctl history",
                results=look.results,
            )
        plans = self.ends.pending(trunk.ends)
        for name, result in plans.items():
            if result.error is not None:
                raise RotationError(
                    f"trunk {trunk.name} is not rotated: {result.error.message}", results=plans
                )
            if result.plan:
                others = [f"{change.kind.value} {change.name}" for change in result.plan.changes]
                shown = ", ".join(others[:_FEW]) + (
                    f" and {len(others) - _FEW} more" if len(others) > _FEW else ""
                )
                raise RotationError(
                    f"trunk {trunk.name} is not rotated: other changes are pending on {name}: {shown}",
                    hint=f"see vosctl plan -l {name}, and apply them first",
                )
