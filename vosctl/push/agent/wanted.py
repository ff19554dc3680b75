"""Checks the wanted state as it comes from the controller, before anything is done with its names."""

from __future__ import annotations

import posixpath
import re

from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

SET_PREFIX = "vos-"
CHAIN_PREFIX = "VOS-"

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SET = re.compile(r"vos-[A-Za-z0-9._-]{1,25}")
_TYPE = re.compile(r"[a-z]+:[a-z]+(,[a-z]+)*")
_OPTIONS = re.compile(r"(timeout \d{1,7}( counters)?( comment)?)?")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._+:~-]*")
# What useradd takes without being forced to.
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_KEY = re.compile(r"[A-Za-z0-9_-]+([./][A-Za-z0-9_.,:@-]+)+")


def check(wanted: Any, *, directory: bool = False) -> dict[str, Any]:
    """Return the wanted state when every name in it is safe to use; raises AgentError naming the bad one.

    A ``directory`` has no accounts of its own: files that would be theirs are left to whoever writes them.
    """
    if not isinstance(wanted, dict):
        raise _bad("wanted", wanted)
    try:
        _files(wanted["files"])
        _firewall(wanted)
        _words("package", wanted["packages"], _WORD)
        _words("account", wanted.get("accounts") or [], _ACCOUNT)
        _users(wanted.get("users") or [])
        _words("sysctl", (item["key"] for item in wanted["sysctls"]), _KEY)
        _values(wanted["sysctls"])
        _services(wanted["services"])
        _release(wanted.get("release"))
    except (KeyError, TypeError, AttributeError) as error:
        raise AgentError("unsupported", f"the wanted state has not the expected shape: {error!r}") from error
    theirs = {*(wanted.get("accounts") or ()), *(each["name"] for each in wanted.get("users") or ())}
    theirs = theirs if directory else set()
    for item in wanted["files"]:
        item["given"] = not theirs & {item["owner"], item["group"]}
    return wanted


def safe_path(path: Any) -> bool:
    """Return whether a path is absolute and plain: no ``..``, no doubled slash, no NUL."""
    return (
        isinstance(path, str)
        and path.startswith("/")
        and posixpath.normpath(path) == path
        and path != "/"
        and "\0" not in path
    )


def _files(files: list[dict[str, Any]]) -> None:
    seen = set()
    for item in files:
        if not safe_path(item["path"]) or item["path"] in seen:
            raise _bad("file path", item["path"])
        seen.add(item["path"])
        if not 0 <= item["mode"] <= 0o7777 or not _DIGEST.fullmatch(item["digest"]):
            raise _bad(f"mode or digest of {item['path']}", item)
        _words("owner", (item["owner"], item["group"]), _WORD)
        _words("service", [item[key] for key in ("reload", "restart") if item.get(key)], _WORD)
        if not isinstance(item.get("validate", ""), str) or "\0" in item.get("validate", ""):
            raise _bad(f"validation of {item['path']}", item["validate"])


def _firewall(wanted: dict[str, Any]) -> None:
    for item in wanted["sets"]:
        _words("set", [item["name"]], _SET)
        _words("set type", [item["type"]], _TYPE)
        if item["family"] not in (4, 6) or not 0 < item["maxelem"] < 1 << 32:
            raise _bad("set", item)
        if not _OPTIONS.fullmatch(item.get("options", "")):
            raise _bad("set option", item["options"])
    for item in wanted["rulesets"]:
        if item["family"] not in (4, 6):
            raise _bad("address family", item["family"])
        for table, parent, chain in item["hooks"]:
            _words("hook", (table, parent, chain), _WORD)
            if not chain.startswith(CHAIN_PREFIX):
                raise _bad("own chain", chain)


def _values(sysctls: list[dict[str, Any]]) -> None:
    for item in sysctls:
        if not isinstance(item["value"], str) or "\n" in item["value"] or ".." in item["key"]:
            raise _bad("sysctl", item)


def _services(services: list[dict[str, Any]]) -> None:
    for item in services:
        _words("service", [item["name"]], _WORD)
        if item["state"] not in ("running", "stopped") or not isinstance(item["enabled"], bool):
            raise _bad("state of service " + item["name"], item)
        seconds = item.get("drain", 0)
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds < 0:
            raise _bad("length of draining of service " + item["name"], seconds)
        if item.get("supervise") and not (safe_path(item["supervise"][0]) and safe_path(item.get("pidfile"))):
            raise _bad("supervise command or pidfile of service " + item["name"], item)


def _users(users: list[dict[str, Any]]) -> None:
    for item in users:
        _words("user", [item["name"]], _ACCOUNT)
        _words("group", item["groups"] or [], _WORD)
        if not safe_path(item["home"]) or ":" in item["home"] or not isinstance(item["present"], bool):
            raise _bad("home of user " + item["name"], item)
        if item["shell"] is not None and (not safe_path(item["shell"]) or ":" in item["shell"]):
            raise _bad("shell of user " + item["name"], item["shell"])
        if item["uid"] is not None and not (isinstance(item["uid"], int) and 0 <= item["uid"] < 1 << 31):
            raise _bad("uid of user " + item["name"], item["uid"])


def _release(release: dict[str, Any] | None) -> None:
    if release is not None:
        _words("release version", [release["version"]], _WORD)
        _words("release digest", [release["digest"]], _DIGEST)


def _words(what: str, words: Iterable[Any], pattern: re.Pattern[str]) -> None:
    for word in words:
        if not isinstance(word, str) or not pattern.fullmatch(word):
            raise _bad(what, word)


def _bad(what: str, value: Any) -> AgentError:
    return AgentError("unsupported", f"the wanted state names a {what} that cannot be right: {value!r}"[:300])
