"""What else a node is given: kernel settings, services, packages and files, from the two wanted states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vosctl.compile.desired import Desired, File, Service
from vosctl.plan.difference import secret_diff, unified
from vosctl.plan.risk import Risk
from vosctl.plan.services import RELAY
from vosctl.review.model import Area, Finding
from vosctl.review.words import members, moved

_UNIT = f"/etc/systemd/system/{RELAY}.service"


def host(old: Desired, new: Desired) -> Iterator[Finding]:
    """Yield what changes on the node beside its packet filter."""
    yield from _sysctls(old, new)
    yield from _services(old, new)
    if old.packages != new.packages:
        yield Finding(Area.PACKAGE, "packages", members("", old.packages, new.packages))
    yield from _files(old, new)


def _sysctls(old: Desired, new: Desired) -> Iterator[Finding]:
    for name, before, after in _both(
        {each.key: each.value for each in old.sysctls}, {each.key: each.value for each in new.sysctls}
    ):
        text = "back to what the node had" if after is None else moved("", before, after)
        yield Finding(Area.SYSCTL, f"sysctl {name}", text)


def _services(old: Desired, new: Desired) -> Iterator[Finding]:
    for name, before, after in _both(
        {each.name: each for each in old.services}, {each.name: each for each in new.services}
    ):
        text, risks = _service(before, after)
        if text:
            yield Finding(Area.SERVICE, f"service {name}", text, risks)


def _service(old: Service | None, new: Service | None) -> tuple[str, tuple[Risk, ...]]:
    if new is None:
        return "no longer in the site, goes on as it is", ()
    if old is None:
        return f"new, {new.state}{'' if new.enabled else ', not started at boot'}", ()
    words = []
    risks: tuple[Risk, ...] = ()
    if old.state != new.state:
        words.append(moved("", old.state, new.state))
        if new.state != "running":
            risks = (Risk.RESTARTS_RELAY if new.name == RELAY else Risk.STOPS_SERVICE,)
    if old.enabled != new.enabled:
        words.append("started at boot" if new.enabled else "not started at boot any more")
    return ", ".join(words), risks


def _files(old: Desired, new: Desired) -> Iterator[Finding]:
    for path, before, after in _both(
        {each.path: each for each in old.files}, {each.path: each for each in new.files}
    ):
        diff = _diff(before, after)
        text, risks = _file(before, after, diff), _file_risks(path, before, after)
        yield Finding(Area.FILE, f"file {path}", text, risks, detail=diff)


def _file(old: File | None, new: File | None, diff: tuple[str, ...]) -> str:
    if old is None or new is None:
        return "removed" if new is None else f"new, mode {new.mode:04o}, {new.owner}:{new.group}"
    words = []
    if old.digest != new.digest:
        words.append(_content(old, new, diff))
    if old.mode != new.mode:
        words.append(moved("mode", f"{old.mode:04o}", f"{new.mode:04o}"))
    if (old.owner, old.group) != (new.owner, new.group):
        words.append(moved("owner", f"{old.owner}:{old.group}", f"{new.owner}:{new.group}"))
    if old.reload != new.reload:
        words.append(moved("reloads", old.reload, new.reload))
    return ", ".join(words) or "another kind of secret"


def _counted(diff: tuple[str, ...]) -> str:
    body = [line for line in diff if not line.startswith(("---", "+++", "@@"))]
    more, fewer = (sum(line.startswith(sign) for line in body) for sign in "+-")
    return f"{more} line{'' if more == 1 else 's'} more, {fewer} fewer"


def _content(old: File, new: File, diff: tuple[str, ...]) -> str:
    if new.words is not None:
        return f"another content, {len(old.content):,} → {len(new.content):,} bytes"
    return "another content" if old.secret or new.secret else _counted(diff)


def _file_risks(path: str, old: File | None, new: File | None) -> tuple[Risk, ...]:
    changed = old is not None and new is not None and old.digest != new.digest
    return (Risk.RESTARTS_RELAY,) if path == _UNIT and changed else ()


def _diff(old: File | None, new: File | None) -> tuple[str, ...]:
    if any(each is not None and each.secret for each in (old, new)):
        return secret_diff(old.digest if old else "", new.digest if new else "", key=None)
    if new is not None and new.words is not None:
        return ()  # what it says is told where it belongs
    path = (new or old).path  # type: ignore[union-attr]
    return unified(old.content if old else None, new.content if new else None, name=path)


def _both(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, old and new of all that differs; None where it is not there."""
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if before != after:
            yield name, before, after
