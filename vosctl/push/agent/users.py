"""Users of the node: what differs, making and changing and removing them, and putting back their very lines."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time

from vosctl.push.agent import command, durable
from vosctl.push.agent.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vosctl.push.agent.node import Node

SECONDS = 60.0
# Files with a line a user or group; those with members as the last field come second.
BY_NAME = ("/etc/passwd", "/etc/shadow", "/etc/subuid", "/etc/subgid")
WITH_MEMBERS = ("/etc/group", "/etc/gshadow")
LOCK = "/etc/.pwd.lock"
LOCK_SECONDS = 15.0
SKELETON = "/etc/skel"


def able(node: Node) -> tuple[bool, str]:
    """Return whether users can be made and changed here, and why not."""
    if not node.is_machine:
        return False, "node is a directory"
    if os.geteuid() != 0:
        return False, "changing users needs root: set become: true"
    missing = [name for name in ("useradd", "usermod", "userdel") if command.find(name) is None]
    return (False, f"{missing[0]} is not installed") if missing else (True, "")


def observe(node: Node, item: dict[str, Any], *, machine: bool) -> dict[str, Any]:
    """Return a user as the node's own files have it; a directory has just what is wanted."""
    if not machine:
        return {"exists": item["present"], "same": True}
    lines = _lines(node, item["name"], "/etc/passwd")
    if not lines:
        return {"exists": False, "groups": []}
    fields = lines[0].split(":")
    groups = [line.split(":") for line in _read(node, "/etc/group")]
    return {
        "exists": True,
        "uid": int(fields[2]),
        "home": fields[5],
        "shell": fields[6],
        "groups": sorted(g[0] for g in groups if len(g) > 3 and item["name"] in g[3].split(",")),
    }


def due(item: dict[str, Any], found: dict[str, Any]) -> str:
    """Return ``create``, ``change``, ``remove`` or ""."""
    if not item["present"]:
        return "remove" if found["exists"] and not found.get("same") else ""
    if not found["exists"]:
        return "create"
    if found.get("same"):
        return ""
    return "change" if differing(item, found) else ""


def differing(item: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Return the fields that are wanted otherwise than they are."""
    return [
        key for key in ("uid", "groups", "shell", "home") if item[key] is not None and item[key] != found[key]
    ]


def check(node: Node, item: dict[str, Any], action: str, names: set[str]) -> None:
    """Raise AgentError for what would stop half-way: groups that nobody has or makes, a uid that is taken."""
    if action == "remove":
        return
    known = {line.split(":")[0] for line in _read(node, "/etc/group")} | names
    for group in item["groups"] or ():
        if group not in known:
            raise _error(
                item, f"there is no group {group}", "list the package that brings it, or make it by hand"
            )
    for line in _read(node, "/etc/passwd"):
        fields = line.split(":")
        if len(fields) > 2 and fields[2] == str(item["uid"]) and fields[0] != item["name"]:
            raise _error(item, f"uid {item['uid']} is {fields[0]}'s", "choose another uid, or leave it out")


def act(node: Node, item: dict[str, Any], action: str) -> None:
    """Make, change or remove one user; raises AgentError with what the system's tool said."""
    name = item["name"]
    if action == "remove":
        _run(item, ("userdel", name))
        return
    words = [word for key, flag in _FLAGS if item[key] is not None for word in (flag, _text(item[key]))]
    if action == "create":
        # A password that nothing matches: unlike a locked account, keys open it whatever sshd asks PAM.
        group = ("-g", name) if _lines(node, name, "/etc/group") else ("-U",)
        _run(item, ("useradd", "-m", "-p", "*", *group, *words, name))
    else:
        changed = differing(item, observe(node, item, machine=True))
        words = [word for key, flag in _FLAGS if key in changed for word in (flag, _text(item[key]))]
        if words:
            _run(item, ("usermod", *words, name))


def make_key_folder(node: Node, item: dict[str, Any]) -> None:
    """Make ``.ssh`` in a user's home as the user's own; raises OSError. Links of the user are not followed."""
    if not item["keys"]:
        return
    fields = _lines(node, item["name"], "/etc/passwd")[0].split(":")
    with contextlib.suppress(FileNotFoundError):
        home = os.open(node.path(item["home"]), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(".ssh", 0o700, dir_fd=home)
                made = os.open(".ssh", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=home)
                os.fchown(made, int(fields[2]), int(fields[3]))
                os.close(made)
        finally:
            os.close(home)


_FLAGS = (("uid", "-u"), ("groups", "-G"), ("shell", "-s"), ("home", "-d"))


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def _run(item: dict[str, Any], words: tuple[str, ...]) -> None:
    result = command.run(words, seconds=SECONDS)
    if result.code:
        full = "No space left" in result.reason
        hint = (
            "make room on the node and apply again"
            if full
            else f"try on the node: {words[0]} … {item['name']}"
        )
        raise _error(item, f"{words[0]}: {result.reason}", hint)


def _error(item: dict[str, Any], why: str, hint: str) -> AgentError:
    return AgentError("io", f"user {item['name']}: {why}", hint=hint, item=item["name"], step="users")


def save(node: Node, item: dict[str, Any]) -> dict[str, Any]:
    """Return the user's lines in the system's files, its groups, and whether its home is there, for ``restore``."""
    name = item["name"]
    members = {
        path: [line.split(":")[0] for line in _read(node, path) if name in line.rpartition(":")[2].split(",")]
        for path in WITH_MEMBERS
    }
    lines = {path: _lines(node, name, path) for path in (*BY_NAME, *WITH_MEMBERS)}
    place = node.path(item["home"])
    return {
        "name": name,
        "lines": lines,
        "members": members,
        "home": item["home"],
        "fresh": not os.path.lexists(place),
    }


def restore(node: Node, record: dict[str, Any]) -> None:
    """Put a user back as ``save`` saw it, password and all; raises AgentError or OSError.

    A home that came with the user goes again, unless somebody put something into it.
    """
    name = record["name"]
    before, now = record["lines"]["/etc/passwd"], _lines(node, name, "/etc/passwd")
    if before and now and before[0].split(":")[2] != now[0].split(":")[2]:
        # usermod gives the files in the home back, too.
        command.run(("usermod", "-u", before[0].split(":")[2], name), seconds=SECONDS)
    if record["fresh"] and not before:
        _remove_unused(node.path(record["home"]))
    with _locked(node):
        for path in BY_NAME:
            _put(node, path, _with_line(_read(node, path), name, record["lines"][path]))
        for path in WITH_MEMBERS:
            lines = _with_line(_read(node, path), name, record["lines"][path])
            _put(node, path, [_with_member(line, name, record["members"][path]) for line in lines])


def _with_line(lines: list[str], name: str, wanted: list[str]) -> list[str]:
    found = [line for line in lines if line.split(":")[0] == name]
    if found == wanted:
        return lines
    kept = [line for line in lines if line.split(":")[0] != name]
    if found and wanted:
        at = lines.index(found[0])
        return kept[:at] + wanted + kept[at:]
    return kept + wanted


def _with_member(line: str, name: str, groups: list[str]) -> str:
    head, colon, tail = line.rpartition(":")
    members = [member for member in tail.split(",") if member]
    wanted = line.split(":", maxsplit=1)[0] in groups
    if not colon or (name in members) == wanted:
        return line
    members = [*members, name] if wanted else [member for member in members if member != name]
    return f"{head}:{','.join(members)}"


def _remove_unused(home: str) -> None:
    """Remove a home that holds only what every new one does."""
    for place, _, names in os.walk(home):
        for name in names:
            path = f"{place}/{name}"
            if os.path.islink(path) or not _same(path, SKELETON + path[len(home) :]):
                return
    durable.remove_tree(home)


def _same(path: str, other: str) -> bool:
    try:
        with open(path, "rb") as one, open(other, "rb") as two:
            return one.read() == two.read()
    except OSError:
        return False


def _read(node: Node, path: str) -> list[str]:
    try:
        with open(node.path(path), encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read().splitlines()
    except FileNotFoundError:
        return []


def _lines(node: Node, name: str, path: str) -> list[str]:
    return [line for line in _read(node, path) if line.split(":")[0] == name]


def _put(node: Node, path: str, lines: list[str]) -> None:
    if lines == _read(node, path):
        return
    status = os.stat(node.path(path))
    data = "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")
    durable.write(node.path(path), data, mode=status.st_mode & 0o7777, uid=status.st_uid, gid=status.st_gid)


@contextlib.contextmanager
def _locked(node: Node) -> Any:
    """Hold the lock of lckpwdf(3), which passwd and its family take, too; raises AgentError."""
    until = time.monotonic() + LOCK_SECONDS
    descriptor = os.open(node.path(LOCK), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if time.monotonic() >= until:
                    message = f"{LOCK} is held by somebody else"
                    raise AgentError(
                        "locked", message, hint="see who changes passwords", step="users"
                    ) from error
                time.sleep(0.1)
            else:
                break
        yield
    finally:
        os.close(descriptor)
