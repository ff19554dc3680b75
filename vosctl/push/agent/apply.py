"""One apply: check, snapshot, arm, change everything in a fixed order, wait for the confirmation."""

from __future__ import annotations

import re

from vosctl.push.agent import (
    accounts,
    boot,
    clock,
    dataplane,
    drain,
    durable,
    firewall,
    guard,
    packages,
    preflight,
    process,
    recovery,
    release,
    revert,
    services,
    snapshot,
    sysctls,
    users,
)
from vosctl.push.agent import wanted as wanted_state
from vosctl.push.agent.errors import AgentError, from_os
from vosctl.push.agent.lock import Lock
from vosctl.push.agent.observe import MAX_CONTENT, observe, waiting
from vosctl.push.agent.work import Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from vosctl.push.agent.state import State

    Tell = Callable[[str, int, int], None]

# How long everything but waiting may take before the guard ends it: packages are the slow part.
LIMIT = 1800.0
MAX_WINDOW = 86400.0
_IDENTITY = re.compile(r"[A-Za-z0-9-]{1,64}")


class Apply:
    """An apply request, checked; ``run`` does it."""

    def __init__(self, state: State, request: dict[str, Any], archive: bytes, tell: Tell) -> None:
        self._state = state
        self._archive = archive
        self._tell = tell
        self._request = request
        self.identity = identity(request)
        self._holder = str(request.get("holder") or "unknown")
        self._revision: str | None = request.get("revision")
        self._window = _window(request)
        self._wanted = wanted_state.check(request.get("wanted"), directory=not state.node.is_machine)
        self._items: dict[str, Any] = request.get("items") or {}
        self._step = "check"
        self._item = ""

    def run(self) -> dict[str, Any]:
        """Return the ``applied`` frame, or the ``failed`` frame after going back; raises AgentError before any change."""
        revision = f" {self._revision}" if self._revision else ""
        with Lock(self._state.node, self._holder, f"apply {self.identity}{revision}"):
            recovery.recover_locked(self._state)
            again = self._again()
            if again is not None:
                return again
            try:
                work = self._prepare()
                emptied = drain.before_apply(work, self._tell)
            except AgentError as error:
                self._state.note("failed", id=self.identity, why=error.message)
                raise
            try:
                return self._change(work) if work.changed else self._nothing(work)
            finally:
                if emptied:
                    drain.over(self._state.node)

    def _again(self) -> dict[str, Any] | None:
        pending = self._state.pending()
        if pending is None:
            return None
        if pending["id"] == self.identity and pending["state"] == "applied":
            return _applied_frame(pending)
        until = (waiting(self._state) or {}).get("deadline")
        message = (
            f"{pending['holder']}'s apply {pending['id']} waits for its confirmation until {until} (epoch)"
        )
        raise AgentError(
            "locked", message, hint="confirm it or roll it back, or wait until it goes back by itself"
        )

    def _prepare(self) -> Work:
        state, wanted = self._state, self._wanted
        now = firewall.look(state.node)
        seen = observe(state, wanted, max_content=self._request.get("max_content", MAX_CONTENT), now=now)
        if seen["digest"] != self._request.get("observed_digest"):
            raise AgentError(
                "io",
                "the node moved since it was looked at",
                hint="run again: the plan is made anew",
                step="check",
            )
        state.journal("begin", id=self.identity, holder=self._holder, revision=self._revision)
        missing = [name for name, there in seen["packages"].items() if not there]
        if missing:
            self._install(missing)
            now = firewall.look(state.node)
            seen = observe(state, wanted, now=now)
        self._make_accounts([name for name, there in seen["accounts"].items() if not there])
        work = Work(state, wanted, self._items, seen, now)
        preflight.check(work, len(self._archive))
        return work

    def _install(self, missing: list[str]) -> None:
        able, reason = packages.able(self._state.node)
        if not able:
            raise AgentError("denied", f"{', '.join(missing)} cannot be installed: {reason}", step="packages")
        self._tell("packages", 0, len(missing))
        self._state.journal("packages", id=self.identity, names=missing)
        packages.install(missing)
        self._tell("packages", len(missing), len(missing))

    def _make_accounts(self, missing: list[str]) -> None:
        # Files and processes may be theirs from now on: like packages they stay, whatever becomes of the apply.
        if not missing:
            return
        able, reason = accounts.able(self._state.node)
        if not able:
            message = f"account {', '.join(missing)} cannot be made: {reason}"
            raise AgentError("denied", message, hint=accounts.HINT, step="accounts")
        self._tell("accounts", 0, len(missing))
        self._state.journal("accounts", id=self.identity, names=missing)
        accounts.make(missing)
        self._tell("accounts", len(missing), len(missing))

    def _nothing(self, work: Work) -> dict[str, Any]:
        result = work.result(self.identity, self._holder, self._revision)
        old = self._state.applied()
        # The last changing apply stays the one that a rollback takes back.
        result.update(id=old.get("id") or self.identity, last=self.identity, confirmed=True)
        self._state.store("applied", result)
        self._state.journal("confirmed", id=self.identity, changed=[])
        return _applied_frame({"id": self.identity, "changed": [], "restarted": [], "deadline": 0})

    def _change(self, work: Work) -> dict[str, Any]:
        state = self._state
        try:
            guard.store_archive(state.node, self._archive)
            boot.install_unit(state.node)
            snapshot.take(state, work, self.identity, self._holder)
        except OSError as error:
            raise from_os(error, step="snapshot") from error
        pending = self._pending(work)
        state.journal("armed", id=self.identity, changed=pending["changed"])
        state.write_pending(pending)
        try:
            guard.arm(state, self.identity)
            self._step = "snapshot"
            snapshot.keep_rooms(state.node, self.identity)
            self._steps(work)
            return self._finish(work, pending)
        except AgentError as error:
            return self._back(pending, error)
        except OSError as error:
            return self._back(pending, from_os(error, step=self._step, item=self._item))

    def _pending(self, work: Work) -> dict[str, Any]:
        found = process.myself()
        return {
            "id": self.identity,
            "state": "applying",
            "holder": self._holder,
            "revision": self._revision,
            "since": clock.now(),
            "boot": self._state.node.boot(),
            "pid": found[0],
            "start": found[1],
            "limit": clock.since_boot() + LIMIT,
            "window": self._window,
            "deadline": None,
            "until": None,
            "changed": work.changed,
            "restarted": [
                item["name"] for item, action in work.actions if action in ("restart", "reload", "upgrade")
            ],
        }

    def _steps(self, work: Work) -> None:
        self._do(
            "release", [release.name_of(work.release)] if work.release else [], self._apply_release(work)
        )
        self._do("users", [item["name"] for item, _ in work.users], self._apply_users(work))
        self._do("files", [item["path"] for item in work.put] + work.remove, self._apply_files(work))
        change = work.firewall
        if change is not None:
            self._do("sets", [*change.put, *work.stale_sets], _once(change.apply_sets))
            loads = change.target or change.put or work.stale_sets
            self._do(
                "rulesets",
                [f"v{family}" for family in (4, 6)] if loads else [],
                self._apply_rules(change, work.before),
            )
        self._do("sysctls", [key for key, _ in work.settings + work.late], self._apply_settings(work))
        self._do("services", _service_names(work), self._apply_services(work))

    def _do(self, step: str, items: list[str], doing: Iterator[str]) -> None:
        if not items:
            return
        self._step, self._item = step, ""
        self._state.journal("step", id=self.identity, step=step, items=items)
        self._tell(step, 0, len(items))
        for done, item in enumerate(doing, 1):
            self._item = item
            self._tell(step, min(done, len(items)), len(items))

    def _apply_release(self, work: Work) -> Iterator[str]:
        if work.release is not None:
            if work.archive is not None:
                release.unpack(work.node, work.release, work.archive)
            dataplane.ensure(work.node, release.name_of(work.release))
            release.switch(work.node, work.release)
            yield release.name_of(work.release)

    def _apply_users(self, work: Work) -> Iterator[str]:
        for item, action in work.users:
            self._item = item["name"]
            users.act(work.node, item, action)
            if action == "create":
                users.make_key_folder(work.node, item)
            yield item["name"]

    def _apply_files(self, work: Work) -> Iterator[str]:
        # All new contents are on disk before the first name changes: a full disk changes nothing.
        for item, data, (uid, gid) in work.load_content():
            self._item = item["path"]
            path = work.node.path(item["path"])
            durable.make_folders(path.rpartition("/")[0])
            durable.stage(path, data, mode=item["mode"], uid=uid, gid=gid)
        for item in work.put:
            self._item = item["path"]
            durable.commit(work.node.path(item["path"]))
            yield item["path"]
        for path in work.remove:
            self._item = path
            durable.discard(work.node.path(path))
            yield path
        folders = {
            work.node.path(path).rpartition("/")[0]
            for path in (*work.remove, *(item["path"] for item in work.put))
        }
        for folder in sorted(folders):
            durable.sync_folder(folder)

    def _apply_rules(self, change: firewall.Change, before: firewall.Firewall) -> Iterator[str]:
        change.apply_rules(before.sets)
        if self._state.load("bans"):
            from vosctl.push.agent import bans  # noqa: PLC0415  most nodes have none by people

            bans.put_back(self._state)
        firewall.remember(self._state, self._wanted, self._items, change, before)
        for family in change.target:
            yield f"v{family}"

    def _apply_settings(self, work: Work) -> Iterator[str]:
        for key, value in work.settings:
            self._item = key
            sysctls.write(key, value)
            yield key
        for key, value in work.late:
            original = sysctls.read(key)
            if original is not None and not sysctls.equal(original, value):
                self._item = key
                work.originals[key] = original
                snapshot.add_setting(work.node, self.identity, key, original)
                sysctls.write(key, value)
                yield key

    def _apply_services(self, work: Work) -> Iterator[str]:
        paths = [item["path"] for item in work.put] + work.remove
        if work.node.has_systemd and any(map(services.is_unit, paths)):
            services.read_units()
            services.begin_timers(paths)
        for item in work.enable:
            self._item = item["name"]
            services.enable(work.node, item)
            yield item["name"]
        for item, action in work.actions:
            self._item = item["name"]
            services.act(work.node, item, action)
            yield item["name"]

    def _finish(self, work: Work, pending: dict[str, Any]) -> dict[str, Any]:
        self._step, self._item = "finish", ""
        self._state.store("applied", work.result(self.identity, self._holder, self._revision))
        self._state.journal("applied", id=self.identity, changed=pending["changed"], window=self._window)
        pending.update(
            state="applied",
            until=clock.since_boot() + self._window,
            deadline=clock.now() + round(self._window),
        )
        self._state.write_pending(pending)
        missing = dataplane.missing(self._state.node)
        return {**_applied_frame(pending), **({"missing": missing} if missing else {})}

    def _back(self, pending: dict[str, Any], error: AgentError) -> dict[str, Any]:
        step, item = error.step or self._step, error.item or self._item
        errors = revert.revert(self._state, pending, f"{step} failed: {error.message}")
        frame: dict[str, Any] = {
            "op": "failed",
            "id": self.identity,
            "kind": error.kind,
            "step": step,
            "item": item,
        }
        frame.update(error=error.message, hint=error.hint, rolled_back=not errors)
        if errors:
            frame["hint"] = (
                f"going back failed as well: {'; '.join(errors)}; the node tries again at the next run"
            )
        return frame


def _applied_frame(pending: dict[str, Any]) -> dict[str, Any]:
    return {"op": "applied", **{key: pending[key] for key in ("id", "changed", "restarted", "deadline")}}


def _service_names(work: Work) -> list[str]:
    return [item["name"] for item in work.enable] + [item["name"] for item, _ in work.actions] + _units(work)


def _units(work: Work) -> list[str]:
    paths = [item["path"] for item in work.put] + work.remove
    return [path for path in paths if work.node.has_systemd and services.is_unit(path)]


def _once(act: Callable[[], None]) -> Iterator[str]:
    act()
    yield ""


def identity(request: dict[str, Any]) -> str:
    """Return the request's id when it is one; raises AgentError."""
    found = request.get("id")
    if not isinstance(found, str) or not _IDENTITY.fullmatch(found):
        raise AgentError("unsupported", f"{found!r} is no id of an apply")
    return found


def _window(request: dict[str, Any]) -> float:
    found = request.get("window", 60)
    if not isinstance(found, (int, float)) or not 0 < found <= MAX_WINDOW:
        raise AgentError("unsupported", f"a confirm window of {found!r} seconds makes no sense")
    return float(found)
