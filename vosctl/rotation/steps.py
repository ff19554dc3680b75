"""The steps of one trunk's rotation; each can be done again from its start, so that any machine can go on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from vosctl.errors import InputError, UsageError, VosctlError
from vosctl.rotation import edit
from vosctl.rotation.ends import Ends, Look, Results, RotationError, trunks_of
from vosctl.rotation.events import Told, Wishes
from vosctl.rotation.files import Change, Edits, Place, file_of, place_of, read_document
from vosctl.rotation.generate import new_key
from vosctl.rotation.state import BACK, FOLLOWS, Rotations, State, Step, now
from vosctl.secret import Secret
from vosctl.site.model import Encryption, Site
from vosctl.vault import roster, values
from vosctl.vault.document import Document, parse

LONGEST = timedelta(hours=4)


class Rotation:
    """One trunk's rotation, at whatever step."""

    def __init__(
        self,
        state: State,
        *,
        ends: Ends,
        rotations: Rotations,
        who: str,
        wishes: Wishes,
        tell: Callable[[Told], None],
    ) -> None:
        self._ends = ends
        self._rotations = rotations
        self._who = who
        self._wishes = wishes
        self._told = tell
        self.state = state
        self._edits = Edits()
        self._touched: set[str] = set()
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
        report = self._rotations.end(self.state, outcome)
        self._told(Told(self.state.trunk, self.state.now, "ended", outcome, {}, self.state, report))
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
        until = time.monotonic() + self._wishes.patience
        while True:
            try:
                self._do(step)
            except RotationError as error:
                if step in (Step.WAIT, Step.WAIT_BACK) or time.monotonic() >= until:
                    raise self._stopped(error) from error
                self._tell(step, "waiting", f"trying again: {error.message}")
                time.sleep(self._wishes.pause)
            else:
                return

    def _do(self, step: Step) -> None:
        self._enter(step)
        self._tell(step, "begun")
        try:
            self._doing[step]()
        except OSError as error:
            raise RotationError(f"{error.filename}: {error.strerror}", code=1) from error
        self._tell(step, "done")

    def settle(self) -> None:
        """Take back what a killed run left unconfirmed on an end: the step is done again from its start."""
        self._ends.settle(self.state.ends, {self.state.who, self.state.hand, self._who})

    def _enter(self, step: Step) -> None:
        self.state.step, self.state.hand = step.value, self._who
        self._rotations.save(self.state)

    def _stopped(self, error: RotationError) -> RotationError:
        return RotationError(
            f"trunk {self.state.trunk}: the rotation stopped at its step '{self.state.step}': {error.message}",
            hint="nothing is lost: vosctl rotate-keys --resume goes on, --abort goes back to the old key",
            results=error.results,
            code=error.exit_code,
        )

    # The steps

    def _stage(self) -> None:
        state = self.state
        if state.mode != state.new_mode:
            self._give_modes()
        if state.new and self._file_of(state.new) is None:
            own = {"mode": state.new_mode} if state.mode != state.new_mode else {}
            entry = _entry(new_key(Encryption(state.new_mode)), own)
            self._edit(self._place().keys, partial(edit.with_key, name=state.new, entry=entry))
        self._set_trunk(state.old, state.mode, self._accepting(state.new))
        self._apply()

    def _activate(self) -> None:
        state = self.state
        # Where the new mode has no key the old one stays written until it is retired: calls from before need it.
        accept = self._accepting(state.old) if state.new else self._accepting()
        self._set_trunk(state.new or state.old, state.new_mode, accept)
        self._apply()

    def _retire(self) -> None:
        self._set_trunk(self.state.new, self.state.new_mode, [])
        self._apply()
        self._take_out(self.state.goes)

    def _return(self) -> None:
        self._set_trunk(self.state.old, self.state.mode, self._accepting(self.state.new))
        self._apply()

    def _remove(self) -> None:
        self._set_trunk(self.state.old, self.state.mode, self._accepting())
        self._apply()
        self._take_out(self.state.goes)
        for kid in self.state.moded:
            file = self._file_of(kid)
            if file is not None:
                self._edit(file, partial(edit.without_key_mode, key=kid))

    def _wait(self) -> None:
        """Wait until no call holds a key that goes; raise RotationError at noise, or where calls last too long."""
        state, wishes = self.state, self._wishes
        going = state.goes
        site = self._ends.read()
        trunk = trunks_of(site)[state.trunk]
        limit = longest_call(site, state.ends) if wishes.wait is None else wishes.wait
        begun = time.monotonic()
        before = self._mismatches_before()
        while True:
            look = self._ends.look(trunk, site, noise=True)
            _refuse_noise(look, before)
            held, waited = look.holding(going), time.monotonic() - begun
            self._tell(state.now, "waiting", _counted(held, going), look.calls)
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
        known = next((kid for kid in (self.state.old, self.state.new) if kid and self._file_of(kid)), None)
        return place_of(self._ends.site_options, self.state.trunk, known)

    def _file_of(self, key: str) -> Path | None:
        return file_of(self._ends.site_options, key)

    def _edit(self, path: Path, change: Change) -> None:
        name = os.path.relpath(path, self._rotations.site)
        if name not in self.state.files:
            self.state.files.append(name)
            self._rotations.save(self.state)
        self._edits.make(path, change)

    def _give_modes(self) -> None:
        """Let the keys that the trunk accepts say the mode they are for, before the trunk has another."""
        for kid in self.state.retires:
            file = self._file_of(kid)
            if file is None or edit.find(read_document(file), "keys", kid, "mode") is not None:
                continue
            self.state.moded.append(kid)
            self._edit(file, partial(edit.with_key_mode, key=kid, mode=self.state.mode))

    def _accepting(self, key: str = "") -> list[str]:
        """Return the trunk's accept list as it was, and ``key``."""
        return [*(self.state.accept or []), *([_item(key)] if key else [])]

    def _set_trunk(self, key: str, mode: str, items: Sequence[str]) -> None:
        name, keep = self.state.trunk, self.state.accept is not None

        def change(found: Document) -> str:
            body = edit.with_current(found, name, key) if key else edit.without_current(found, name)
            if self.state.mode != self.state.new_mode:
                body = edit.with_mode(parse(body, found.display), name, mode)
            return edit.with_accepted(parse(body, found.display), name, list(dict.fromkeys(items)), keep=keep)

        self._edit(self._place().trunk, change)
        self._tell(self.state.now, "written")

    def _take_out(self, names: Iterable[str]) -> None:
        """Take keys out of their files that no trunk of the site accepts any more."""
        used = {key.name for trunk in trunks_of(self._ends.read()).values() for key in trunk.accept}
        for name in names:
            file = self._file_of(name)
            if name not in used and file is not None:
                self._edit(file, partial(edit.without_key, name=name))
        self._tell(self.state.now, "written")

    def _apply(self) -> None:
        try:
            results = self._ends.apply(self.state.ends)
        except RotationError as error:
            # A node that was planned for may have got something; one that could not even be asked has not.
            self._touched.update(name for name, result in error.results.items() if result.plan is not None)
            raise
        self._touched.update(results)
        self._tell(self.state.now, "applied")
        look = self._ends.look(self._ends.trunk(self.state.trunk), noise=self.state.now is Step.STAGE)
        if look.wrong:
            raise RotationError("; ".join(look.wrong), results=look.results)
        self._tell(self.state.now, "verified", calls=look.calls)
        self._note(results, look)

    def _note(self, results: Results, look: Look) -> None:
        self.state.done.append({
            "step": self.state.step,
            "at": now(),
            "who": self._who,
            "nodes": {name: result.status.value for name, result in results.items()},
            "calls": {end: dict(held) for end, held in look.calls.items()},
            "mismatches": dict(look.mismatches),
        })  # fmt: skip
        self._rotations.save(self.state)

    def _undo(self, error: VosctlError) -> VosctlError:
        """Put the files back, and each end that holds the new key; return the error to raise.

        An end that got the key and does not answer now is looked at again by ``--abort``.
        """
        self._edits.undo()
        results = error.results if isinstance(error, RotationError) else {}
        unknown = self._put_back() if self._touched else []
        if unknown:
            self._enter(Step.REMOVE)
            hint = f"{', '.join(unknown)} may hold the new key, which nothing uses: --abort when it answers"
        else:
            self._rotations.forget(self.state)
            hint = "both ends and all files are as they were"
        self._tell(Step.STAGE, "undone", hint)
        why = roster.texts_of(error) if isinstance(error, InputError) else error.message
        return RotationError(
            f"trunk {self.state.trunk}: the key could not be staged: {why}",
            hint=hint,
            results=results,
            code=error.exit_code,
        )

    def _put_back(self) -> list[str]:
        """Bring ends that hold what the files do not say any more back to them; return those that nobody knows of."""
        trunk = self._ends.trunk(self.state.trunk)
        look = self._ends.look(trunk)
        unknown = []
        for end in trunk.ends:
            if not any(words.startswith(f"{end}: ") for words in look.wrong):
                continue
            if end not in self._touched:
                continue
            try:
                self._ends.apply([end])
            except RotationError:
                unknown.append(end)
        return unknown

    def _tell(
        self, step: Step, what: str, words: str = "", calls: Mapping[str, Mapping[str, int]] | None = None
    ) -> None:
        self._told(Told(self.state.trunk, step, what, words, calls or {}, self.state))


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
    return _counted(held, going)


def _counted(held: int, going: Sequence[str]) -> str:
    return f"{held} call{'' if held == 1 else 's'} still on {', '.join(going)}"


def _item(name: str) -> str:
    return values.render(values.string(name))


def _entry(key: Secret, own: Mapping[str, str]) -> str:
    words = {"value": values.quoted(key.reveal()), **own, "created": now()}
    return "{" + ", ".join(f"{name}: {text}" for name, text in words.items()) + "}"
