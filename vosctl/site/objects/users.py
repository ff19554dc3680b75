"""Builds the people and programs that log in to a node: accounts with groups, shell, home and SSH keys."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from vosctl.site.model import Connection
from vosctl.site.objects.fields import Fields
from vosctl.site.own import FileSpec, UserSpec

_KEY_TYPE = re.compile(
    r"(sk-)?(ssh|ecdsa)-[a-z0-9-]+(@openssh\.com)?(-cert-v01@openssh\.com)?|ssh-(rsa|ed25519)"
)


def build_users(fields: Fields, connection: Connection, keys: str) -> tuple[UserSpec, ...]:
    """Return the users, sorted by name. ``keys``: see ``key_files``. vosctl's own login may not be taken away."""
    built = []
    for name, entry in fields.entries():
        mark = fields.tree.key_marks.get(name, entry.tree.mark)
        present = entry.text("state") != "absent"
        if not present and name in ("root", connection.user):
            message = (
                f"'{name}' is who vosctl logs in as here" if name == connection.user else "root must stay"
            )
            entry.problems.error("user-login", message, mark, path=entry.path,
                                 hint="log in as somebody else first: user in the inventory")  # fmt: skip
        groups = entry.texts("groups") if "groups" in entry else None
        built.append(
            UserSpec(
                name=name,
                present=present,
                uid=entry.integer("uid"),
                groups=None if groups is None else tuple(sorted(set(groups))),
                shell=entry.text("shell"),
                home=entry.text("home") or ("/root" if name == "root" else f"/home/{name}"),
                keys=present and keys in entry,
                mark=mark,
            )
        )
    return tuple(sorted(built, key=lambda user: user.name))


def key_files(fields: Fields, users: tuple[UserSpec, ...], keys: str) -> Iterator[FileSpec]:
    """Yield the authorized_keys of each user that has the field ``keys``; lines that are no keys are problems."""
    for user in users:
        entry = fields.below(user.name)
        if not user.keys:
            continue
        lines = []
        for path, scalar in entry.scalars(keys):
            line = str(scalar.value).strip()
            why = _wrong(line)
            if why:
                entry.problems.error("user-key", why, scalar.mark, path=path,
                                     hint="a line of a .pub file, as ssh-ed25519 AAAA… name")  # fmt: skip
            lines.append(line)
        text = "# Written by vosctl.\n" + "".join(f"{line}\n" for line in lines)
        place = f"{user.home}/.ssh/authorized_keys"
        yield FileSpec(place, text, 0o600, user.name, "root", secret=False, reload=None, mark=user.mark)


def _wrong(line: str) -> str:
    """Return what is wrong with a line of authorized_keys (sshd(8)), "" for nothing; never the line itself."""
    if "PRIVATE KEY" in line or "\n" in line:
        return "this is no public key in one line"
    words = line.split()
    for at, word in enumerate(words[:-1]):
        if _KEY_TYPE.fullmatch(word):
            try:
                blob = base64.b64decode(words[at + 1], validate=True)
            except (binascii.Error, ValueError):
                return f"what follows {word} is not base64"
            size = int.from_bytes(blob[:4], "big")
            same = blob[4 : 4 + size] == word.encode()
            return "" if same else f"what follows {word} is a key of another type, or cut off"
    return "this is no public key"
