"""Rotates the key of a trunk step by step; each step can be done again from its start, so that any machine can go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from vosctl.errors import InputError, UsageError, VosctlError
from vosctl.push.options import PushOptions
from vosctl.push.processor import Processor
from vosctl.rotation import edit
from vosctl.rotation.ends import Ends, Look, Results, RotationError, trunks_of
from vosctl.rotation.files import Edits, Place, file_of, place_of, read_document
from vosctl.rotation.generate import new_key, new_name
from vosctl.rotation.state import BACK, FOLLOWS, Rotations, State, Step, now
from vosctl.secret import Secret
from vosctl.site.model import Encryption, Site, Trunk
from vosctl.site.read import SiteOptions, site_folder
from vosctl.vault import roster, values
from vosctl.vault.document import Document, parse

LONGEST = timedelta(hours=4)


@dataclass(frozen=True, slots=True)
class Told:
    """Something happened in a rotation: ``what`` is begun, written, applied, verified, done, waiting, undone or ended.

    ``calls``: by end and key id; ``words`` are for people and hold no secret.
    """

    trunk: str
    step: Step
    what: str
    words: str = ""
    calls: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    state: State | None = None


class Watcher(Protocol):
    """Sees a rotation as it goes."""

    def told(self, event: Told) -> None:
        """Be told what happened; what it raises ends the run where it stands."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a rotation is done. Times are in seconds.

    - ``wait``: how long to wait for calls on the old key to end; None: the longest call that the gateways allow.
    - ``watch``: how long at least to look for streams that decrypt to noise after new calls use the new key.
    - ``patience``: how long to try again where an end fails once new calls may use the new key.
    - ``pause``: between two looks.
    """

    wait: float | None = None
    watch: float = 10.0
    patience: float = 60.0
    pause: float = 2.0


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
        rotation = _Rotation(self, state)
        rotation.stage_or_undo()
        return rotation.go_on(Step.ACTIVATE)

    def go_on(self, state: State, *, back: bool) -> dict[str, Any]:
        """Bring a rotation under way to its end, or go back with it."""
        rotation = _Rotation(self, state)
        if back and not state.now.goes_back:
            rotation.turn()
        return rotation.go_on(rotation.state.now)

    def tell(self, event: Told) -> None:
        """Tell every watcher."""
        for watcher in self._watchers:
            watcher.told(event)

    def _begin(self, site: Site, trunk: Trunk, mode: Encryption) -> State:
        if trunk.key is None or trunk.encryption not in (Encryption.XOR, Encryption.RC4, Encryption.AES128):
            raise UsageError(
                f"trunk {trunk.name} is {trunk.encryption.value}: it has no key of ours to rotate"
            )
        place = place_of(self.ends.site_options, trunk.name, trunk.key.name)
        document = read_document(place.trunk)
        moment = datetime.now(timezone.utc)
        taken = {key.name for other in trunks_of(site).values() for key in other.accept}
        return State(
            id=uuid4().hex,
            trunk=trunk.name,
            ends=list(trunk.ends),
            who=self.who,
            started=now(),
            old=trunk.key.name,
            new=new_name(trunk.name, moment, taken),
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
                raise RotationError(
                    f"trunk {trunk.name} is not rotated: other changes are pending on {name}",
                    hint=f"see vosctl plan -l {name}, and apply them first",
                )


class _Rotation:
    """One trunk's rotation, at whatever step."""

    def __init__(self, run: _Run, state: State) -> None:
        self._run = run
        self.state = state
        self._edits = Edits()
        self._doing: Mapping[Step, Callable[[], None]] = {
            Step.STAGE: self._stage,
            Step.ACTIVATE: self._activate,
            Step.WAIT: self._wait,
            Step.RETIRE: self._retire,
            Step.RETURN: self._return,
            Step.WAIT_BACK: self._wait,
            Step.REMOVE: self._remove,
        }

    def stage_or_undo(self) -> None:
        """Do the first step; where that fails, leave files and nodes as they were and raise."""
        try:
            self._do(Step.STAGE)
        except VosctlError as error:
            raise self._undo(error) from error

    def go_on(self, first: Step) -> dict[str, Any]:
        """Do every step from ``first`` on, and return the report."""
        step: Step | None = first
        while step is not None:
            self._do_patiently(step)
            step = FOLLOWS.get(step)
        outcome = "aborted" if self.state.now.goes_back else "rotated"
        report = self._run.rotations.end(self.state, outcome)
        self._tell(self.state.now, "ended", outcome)
        return report

    def turn(self) -> None:
        """Go back from here on; raise UsageError where the old key is gone already."""
        gone = [kid for kid in self.state.retires if self._file_of(kid) is None]
        if gone:
            raise UsageError(
                f"trunk {self.state.trunk}: the key {', '.join(gone)} is taken out already",
                hint="--resume ends the rotation; then rotate again where the new key must go",
            )
        self._enter(BACK[self.state.now])

    def _do_patiently(self, step: Step) -> None:
        until = time.monotonic() + self._run.wishes.patience
        while True:
            try:
                self._do(step)
            except RotationError as error:
                if step in (Step.WAIT, Step.WAIT_BACK) or time.monotonic() >= until:
                    raise self._stopped(error) from error
                self._tell(step, "waiting", f"trying again: {error.message}")
                time.sleep(self._run.wishes.pause)
            else:
                return

    def _do(self, step: Step) -> None:
        self._enter(step)
        self._tell(step, "begun")
        self._doing[step]()
        self._tell(step, "done")

    def _enter(self, step: Step) -> None:
        self.state.step = step.value
        self._run.rotations.save(self.state)

    def _stopped(self, error: RotationError) -> RotationError:
        return RotationError(
            f"trunk {self.state.trunk}: the rotation stopped at its step '{self.state.step}': {error.message}",
            hint="nothing is lost: vosctl rotate-keys --resume goes on, --abort goes back to the old key",
            results=error.results,
            code=error.exit_code,
        )

    # The steps

    def _stage(self) -> None:
        if self._file_of(self.state.new) is None:
            entry = _entry(new_key(Encryption(self.state.new_mode)))
            self._edits.make(self._place().keys, lambda found: edit.with_key(found, self.state.new, entry))
        self._set_trunk(self.state.old, [*(self.state.accept or []), _item(self.state.new)])
        self._apply()

    def _activate(self) -> None:
        self._set_trunk(self.state.new, [*(self.state.accept or []), _item(self.state.old)])
        self._apply()

    def _retire(self) -> None:
        self._set_trunk(self.state.new, [])
        self._apply()
        self._take_out(kid for kid in self.state.retires if kid != self.state.new)

    def _return(self) -> None:
        self._set_trunk(self.state.old, [*(self.state.accept or []), _item(self.state.new)])
        self._apply()

    def _remove(self) -> None:
        self._set_trunk(self.state.old, self.state.accept or [])
        self._apply()
        self._take_out([self.state.new])

    def _wait(self) -> None:
        """Wait until no call holds a key that goes; raise RotationError at noise, or where calls last too long."""
        state, wishes = self.state, self._run.wishes
        going = [state.new] if state.now.goes_back else [kid for kid in state.retires if kid != state.new]
        site = self._run.ends.read()
        trunk = trunks_of(site)[state.trunk]
        limit = longest_call(site, state.ends) if wishes.wait is None else wishes.wait
        begun = time.monotonic()
        before = self._mismatches_before()
        while True:
            look = self._run.ends.look(trunk, site)
            _refuse_noise(look, before)
            held, waited = look.holding(going), time.monotonic() - begun
            self._tell(state.now, "waiting", f"{held} calls hold {', '.join(going)}", look.calls)
            if not held and not look.wrong and (waited >= wishes.watch or state.now.goes_back):
                self._note({}, look)
                return
            if waited >= max(limit, wishes.watch):
                raise RotationError(_why_not(look, held, going), results=look.results)
            time.sleep(wishes.pause)

    def _mismatches_before(self) -> dict[str, int]:
        return dict(
            next((done["mismatches"] for done in self.state.done if done["step"] == Step.STAGE.value), {})
        )

    # What the steps are made of

    def _place(self) -> Place:
        known = self.state.old if self._file_of(self.state.old) is not None else self.state.new
        return place_of(self._run.ends.site_options, self.state.trunk, known)

    def _file_of(self, key: str) -> Path | None:
        return file_of(self._run.ends.site_options, key)

    def _set_trunk(self, key: str, items: Sequence[str]) -> None:
        name, keep = self.state.trunk, self.state.accept is not None

        def change(found: Document) -> str:
            body = edit.with_current(found, name, key)
            return edit.with_accepted(parse(body, found.display), name, list(dict.fromkeys(items)), keep=keep)

        self._edits.make(self._place().trunk, change)
        self._tell(self.state.now, "written")

    def _take_out(self, names: Iterable[str]) -> None:
        """Take keys out of their files that no trunk of the site accepts any more."""
        used = {key.name for trunk in trunks_of(self._run.ends.read()).values() for key in trunk.accept}
        for name in names:
            file = self._file_of(name)
            if name not in used and file is not None:
                self._edits.make(file, partial(edit.without_key, name=name))
        self._tell(self.state.now, "written")

    def _apply(self) -> None:
        results = self._run.ends.apply(self.state.ends)
        self._tell(self.state.now, "applied")
        look = self._run.ends.look(self._run.ends.trunk(self.state.trunk))
        if look.wrong:
            raise RotationError("; ".join(look.wrong), results=look.results)
        self._tell(self.state.now, "verified", calls=look.calls)
        self._note(results, look)

    def _note(self, results: Results, look: Look) -> None:
        self.state.done.append({
            "step": self.state.step,
            "at": now(),
            "who": self._run.who,
            "nodes": {name: result.status.value for name, result in results.items()},
            "calls": {end: dict(held) for end, held in look.calls.items()},
            "mismatches": dict(look.mismatches),
        })  # fmt: skip
        self._run.rotations.save(self.state)

    def _undo(self, error: VosctlError) -> VosctlError:
        """Put the files back, and each end that holds the new key; return the error to raise.

        An end that got the key and does not answer now is looked at again by ``--abort``.
        """
        self._edits.undo()
        results = error.results if isinstance(error, RotationError) else {}
        unknown = self._put_back(results) if results else []
        if unknown:
            self._enter(Step.REMOVE)
            hint = f"{', '.join(unknown)} may hold the new key, which nothing uses: --abort when it answers"
        else:
            self._run.rotations.forget(self.state)
            hint = "both ends and all files are as they were"
        self._tell(Step.STAGE, "undone", hint)
        why = roster.texts_of(error) if isinstance(error, InputError) else error.message
        return RotationError(
            f"trunk {self.state.trunk}: the key could not be staged: {why}",
            hint=hint,
            results=results,
            code=error.exit_code,
        )

    def _put_back(self, results: Results) -> list[str]:
        """Bring ends that hold what the files do not say any more back to them; return those that nobody knows of."""
        trunk = self._run.ends.trunk(self.state.trunk)
        look = self._run.ends.look(trunk)
        unknown = []
        for end in trunk.ends:
            if not any(words.startswith(f"{end}: ") for words in look.wrong):
                continue
            if look.results[end].error is not None and results[end].plan is None:
                continue  # it was gone before anything was sent to it
            try:
                self._run.ends.apply([end])
            except RotationError:
                unknown.append(end)
        return unknown

    def _tell(
        self, step: Step, what: str, words: str = "", calls: Mapping[str, Mapping[str, int]] | None = None
    ) -> None:
        self._run.tell(Told(self.state.trunk, step, what, words, calls or {}, self.state))


def longest_call(site: Site, ends: Iterable[str]) -> float:
    """Return how many seconds a call across these nodes may last by their gateways' limits; 4 hours without any."""
    limits = [
        gateway.limits.duration
        for end in ends
        for gateway in site.nodes[end].gateways.values()
        if gateway.limits
    ]
    return max((limit for limit in limits if limit), default=LONGEST).total_seconds()


def _refuse_noise(look: Look, before: dict[str, int]) -> None:
    for end, count in look.mismatches.items():
        had = before.setdefault(end, count)
        if count > had:
            raise RotationError(
                f"{end}: {count - had} streams decrypt to noise (suspected key mismatch) since the key was staged"
            )
        before[end] = min(had, count)  # a relay that began anew counts from 0


def _why_not(look: Look, held: int, going: Sequence[str]) -> str:
    if look.wrong:
        return "; ".join(look.wrong)
    return f"{held} calls still hold {', '.join(going)}"


def _item(name: str) -> str:
    return values.render(values.string(name))


def _entry(key: Secret) -> str:
    return f"{{value: {values.quoted(key.reveal())}}}"
