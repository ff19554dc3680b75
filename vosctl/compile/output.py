"""Writes a node's wanted state into a folder, for people to read and to compare."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from vosctl.compile.desired import Desired, File
from vosctl.compile.text import document
from vosctl.errors import VosctlError
from vosctl.firewall.sets import restore_input
from vosctl.secret import Secret

_MARKER = "desired.json"
_MASKED_LINE = "<secret of {size} bytes, fingerprint {fingerprint}>\n"


def write(
    desired: Desired, directory: Path, *, reveal_secrets: bool = False, key: bytes | None = None
) -> None:
    """Write what the node would get into ``directory/<node>/``, in place of what an earlier run wrote there.

    ``files/`` holds the node's files at their paths, ``firewall/`` the restore input, ``desired.json``
    the rest. Secret files become one line with a fingerprint (under ``key``, else one that differs
    in each run) unless revealed, and then nobody else may read them. Raises VosctlError for a folder
    that holds something else, or that cannot be written.
    """
    target = directory / desired.node
    try:
        _clear(target)
        for path, content, mode in _contents(desired, reveal_secrets=reveal_secrets, key=key):
            _write(target / path, content, mode)
    except OSError as error:
        raise VosctlError(
            f"{error.filename or target}: {error.strerror}", hint="choose another folder with --out"
        ) from error


def _clear(target: Path) -> None:
    if not target.exists():
        return
    if any(target.iterdir()) and not (target / _MARKER).is_file():
        raise VosctlError(
            f"{target} holds files that vosctl did not write", hint="choose an empty folder with --out"
        )
    shutil.rmtree(target)


def _contents(
    desired: Desired, *, reveal_secrets: bool, key: bytes | None
) -> Iterator[tuple[str, bytes, int]]:
    # The marker comes first: what is interrupted can be cleared away the next time.
    yield _MARKER, _summary(desired), 0o644
    for file in desired.files:
        hidden = file.secret and not reveal_secrets
        content = _masked(file, key) if hidden else file.content
        yield f"files{file.path}", content, 0o600 if file.secret else 0o644
    for ruleset in desired.rulesets:
        yield f"firewall/rules.v{ruleset.family}", ruleset.text.encode(), 0o644
    if desired.sets:
        yield "firewall/sets", restore_input(desired.sets).encode(), 0o644


def _masked(file: File, key: bytes | None) -> bytes:
    secret = Secret(file.content.decode(errors="replace"))
    fingerprint = secret.fingerprint() if key is None else secret.fingerprint(key)
    return _MASKED_LINE.format(size=len(file.content), fingerprint=fingerprint).encode()


def _summary(desired: Desired) -> bytes:
    release = desired.release
    return document(
        {
            "node": desired.node,
            "packages": desired.packages,
            "accounts": desired.accounts,
            "users": {each.name: {"present": each.present, "groups": each.groups} for each in desired.users},
            "release": {"version": release.version, "digest": release.digest} if release else None,
            "files": {file.path: _attributes(file) for file in desired.files},
            "hooks": {
                f"v{each.family}": [f"{hook.table} {hook.parent} -> {hook.chain}" for hook in each.hooks]
                for each in desired.rulesets
            },
            "sysctls": {each.key: each.value for each in desired.sysctls},
            "services": {
                each.name: {"state": each.state, "enabled": each.enabled} for each in desired.services
            },
        }
    )


def _attributes(file: File) -> dict[str, object]:
    return {
        "mode": f"{file.mode:04o}",
        "owner": f"{file.owner}:{file.group}",
        "secret": file.secret,
        "reload": file.reload,
    }


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=mode)
    path.write_bytes(content)
