"""The header of an encrypted file: who can open it, and what proves that nothing in it was changed."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct
from yaml.nodes import MappingNode, Node, ScalarNode

from vosctl.site.tree import Mark
from vosctl.vault import encoding
from vosctl.vault.document import HEADER, NOTE, Document
from vosctl.vault.faults import refuse
from vosctl.vault.primitives import KEY, NONCE, SALT, Cost
from vosctl.vault.recipients import NAME, PUBLIC, Passphrase, Recipient, Removed

VERSION = "1"
_TAG = 16
_WRAPPED = KEY + NONCE + KEY + _TAG
_SEALED = NONCE + KEY + _TAG
_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}")
_MOST_RECIPIENTS = 200


class Stanza(Struct, frozen=True):
    """The data key, wrapped for one recipient."""

    recipient: Recipient
    wrapped: bytes


class Header(Struct, frozen=True):
    """What stands in the block; ``identifier`` is the document's, ``key`` the fingerprint of its data key."""

    identifier: str
    key: str
    serial: int
    stanzas: tuple[Stanza, ...]
    removed: tuple[Removed, ...]
    mac: str

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        """Who can open the file."""
        return tuple(stanza.recipient for stanza in self.stanzas)

    def names(self) -> str:
        """Return the recipients in words."""
        return ", ".join(recipient.label for recipient in self.recipients) or "nobody"


def read_header(document: Document) -> Header | None:
    """Return the header, None where the file has none; raise InputError where it is damaged or not known here."""
    if document.header is None:
        if document.tokens:
            leaf = document.tokens[0]
            raise refuse("vault-truncated", f"an encrypted value, but no {HEADER} at the end: the file is cut off", leaf.mark,
                         path=leaf.name, hint="take the whole file from git again: git checkout -- FILE")  # fmt: skip
        return None
    return _Reader(document.display, document.header_mark).header(document.header)


def render(header: Header) -> str:
    """Return the block as text, the MAC last, so that a file cut off anywhere shows it."""
    lines = [
        NOTE,
        f"{HEADER}:",
        f"  version: {VERSION}",
        f'  id: "{header.identifier}"',
        f'  key: "{header.key}"',
        f"  serial: {header.serial}",
        *render_recipients(
            header.recipients, header.removed, "  ", {s.recipient.public: s.wrapped for s in header.stanzas}
        ),
        f'  mac: "{header.mac}"',
    ]
    return "\n".join(lines) + "\n"


def render_recipients(
    recipients: tuple[Recipient, ...], removed: tuple[Removed, ...], pad: str, wrapped: dict[bytes, bytes]
) -> list[str]:
    """Return the lines for recipients and those removed; ``wrapped`` has the data key for a public key."""
    lines = [f"{pad}recipients:"]
    for each in recipients:
        lines += [f'{pad}  - name: "{each.name}"', f'{pad}    public: "{each.text}"']
        if each.passphrase is not None:
            cost, salt = each.passphrase.cost, encoding.to_text(each.passphrase.salt)
            sealed = encoding.to_text(each.passphrase.sealed)
            lines.append(
                f'{pad}    scrypt: {{n: {cost.n}, r: {cost.r}, p: {cost.p}, salt: "{salt}", sealed: "{sealed}"}}'
            )
        if each.public in wrapped:
            lines.append(f'{pad}    wrapped: "{encoding.to_text(wrapped[each.public])}"')
    lines.append(f"{pad}removed:" if removed else f"{pad}removed: []")
    for gone in removed:
        public = encoding.checked(PUBLIC, gone.public)
        lines.append(f'{pad}  - {{name: "{gone.name}", public: "{public}", on: "{gone.on}"}}')
    return lines


def read_recipients(document: Document) -> tuple[tuple[Recipient, ...], tuple[Removed, ...]]:
    """Return the recipients that a site's recipients file names; raise InputError where it is damaged."""
    reader = _Reader(document.display, Mark(document.display, 1, 1))
    fields = reader.fields(document.root, {"recipients", "removed"})
    recipients = tuple(reader.recipient(item) for item in reader.items(fields["recipients"]))
    return recipients, tuple(reader.gone(item) for item in reader.items(fields["removed"]))


class _Reader:
    """Takes the block apart; anything unexpected is an error at its place."""

    def __init__(self, display: str, mark: Mark) -> None:
        self._display = display
        self._mark = mark

    def header(self, root: MappingNode) -> Header:
        known = {key.value: value for key, value in root.value}
        version = known.get("version")
        if isinstance(version, ScalarNode) and _NUMBER.fullmatch(version.value) and version.value != VERSION:
            raise refuse("vault-version", f"made by a later vosctl: format {version.value}, known here: {VERSION}", self._at(version),
                         hint="install a newer vosctl")  # fmt: skip
        fields = self.fields(root, {"version", "id", "key", "serial", "recipients", "removed", "mac"})
        return Header(
            identifier=self.text(fields["id"], r"[0-9a-f]{32}"),
            key=self.text(fields["key"], r"[0-9a-f]{8}"),
            serial=int(self.text(fields["serial"], _NUMBER.pattern)),
            stanzas=tuple(self._stanza(item) for item in self.items(fields["recipients"])),
            removed=tuple(self.gone(item) for item in self.items(fields["removed"])),
            mac=self.text(fields["mac"], r"[A-Za-z0-9_-]{43}"),
        )

    def fields(
        self, node: Node | None, names: set[str], optional: frozenset[str] = frozenset()
    ) -> dict[str, Node]:
        if not isinstance(node, MappingNode):
            raise self._damaged(node, "a mapping is missing")
        found = {key.value: value for key, value in node.value if isinstance(key, ScalarNode)}
        missing, strange = names - set(found), set(found) - names - optional
        if missing:
            raise self._damaged(node, f"{', '.join(sorted(missing))} missing")
        if strange or len(found) != len(node.value):
            raise self._damaged(node, "something in it is not known here")
        return found

    def items(self, node: Node) -> list[Node]:
        if isinstance(node, (ScalarNode, MappingNode)) or len(node.value) > _MOST_RECIPIENTS:
            raise self._damaged(node, "a list is missing")
        return list(node.value)

    def text(self, node: Node, pattern: str) -> str:
        if not isinstance(node, ScalarNode) or not re.fullmatch(pattern, node.value):
            raise self._damaged(node, "a value is cut off or altered")
        return str(node.value)

    def recipient(self, node: Node, *, wrapped: bool = False) -> Recipient:
        names = {"name", "public", *({"wrapped"} if wrapped else ())}
        fields = self.fields(node, names, frozenset({"scrypt"}))
        public = self._public(fields["public"])
        way = self._passphrase(fields["scrypt"]) if "scrypt" in fields else None
        return Recipient(self.text(fields["name"], NAME.pattern), public, way)

    def gone(self, node: Node) -> Removed:
        fields = self.fields(node, {"name", "public", "on"})
        on = self.text(fields["on"], r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
        return Removed(self.text(fields["name"], NAME.pattern), self._public(fields["public"]), on)

    def _stanza(self, node: Node) -> Stanza:
        recipient = self.recipient(node, wrapped=True)
        return Stanza(recipient, self._bytes(self.fields(node, set(), _STANZA)["wrapped"], _WRAPPED))

    def _passphrase(self, node: Node) -> Passphrase:
        fields = self.fields(node, {"n", "r", "p", "salt", "sealed"})
        cost = Cost(*(int(self.text(fields[name], _NUMBER.pattern)) for name in "nrp"))
        if not cost.is_bearable():
            raise refuse("vault-cost", f"scrypt with n={cost.n} r={cost.r} p={cost.p} takes more than 256 MiB or ten seconds",
                         self._at(node), hint="no vosctl wrote this: take the file from git again")  # fmt: skip
        return Passphrase(cost, self._bytes(fields["salt"], SALT), self._bytes(fields["sealed"], _SEALED))

    def _public(self, node: Node) -> bytes:
        data = encoding.unchecked(PUBLIC, self.text(node, r"[A-Za-z0-9_-]+"))
        if data is None or len(data) != KEY:
            raise self._damaged(node, "a public key's checksum is wrong")
        return data

    def _bytes(self, node: Node, length: int) -> bytes:
        data = encoding.to_bytes(self.text(node, r"[A-Za-z0-9_-]+"))
        if data is None or len(data) != length:
            raise self._damaged(node, "a value is cut off or altered")
        return data

    def _at(self, node: Node | None) -> Mark:
        if node is None:
            return self._mark
        return Mark(self._display, node.start_mark.line + 1, node.start_mark.column + 1)

    def _damaged(self, node: Node | None, what: str) -> Any:
        cut = what.endswith("missing")
        message = (
            f"the list of recipients is damaged: {what}"
            if not cut
            else f"the vault's block is cut off: {what}"
        )
        return refuse("vault-truncated" if cut else "vault-header", message, self._at(node),
                      hint="take the whole file from git again: git checkout -- FILE")  # fmt: skip


_STANZA = frozenset({"name", "public", "scrypt", "wrapped"})
