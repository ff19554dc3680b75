"""Opens an encrypted document: finds the data key, opens every leaf, and holds the whole against the MAC."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping

from msgspec import Struct

from vosctl.errors import InputError
from vosctl.site.places import joined
from vosctl.site.problems import Problems
from vosctl.vault import encoding
from vosctl.vault.document import TOKEN, Document, Leaf, Path, canonical
from vosctl.vault.faults import refuse
from vosctl.vault.header import Header, read_header
from vosctl.vault.keys import Keys
from vosctl.vault.primitives import NONCE, authenticate, derive, seal, unseal, unwrap
from vosctl.vault.values import BLOCK, Typed, pack, unpack

_ABOUT_KEY = b"vosctl-vault 1 data key\0"
_PLACE = 6
_TAG = 16


class DataKey:
    """A file's data key for one document: what leaves, places and the MAC are made with."""

    def __init__(self, raw: bytes, identifier: str) -> None:
        self.raw = raw
        self.identifier = identifier
        self._leaf = derive(raw, "leaf")
        self._place = derive(raw, "place")
        self._mac = derive(raw, "mac")

    @property
    def fingerprint(self) -> str:
        """8 hex digits that name the key and say nothing of it."""
        return derive(self.raw, "fingerprint")[:4].hex()

    def encrypt(self, value: Typed, path: Path) -> str:
        """Return the token of a value at ``path``."""
        sealed = seal(self._leaf, pack(value), self._about(path))
        return TOKEN + encoding.to_text(self._place_of(path) + sealed)

    def decrypt(self, token: str, path: Path) -> Typed | None:
        """Return the value, or None where the token is not this path's under this key."""
        data = encoding.to_bytes(token.removeprefix(TOKEN))
        if data is None or not self._is_for(data, path):
            return None
        plaintext = unseal(self._leaf, data[_PLACE:], self._about(path))
        return None if plaintext is None else unpack(plaintext)

    def is_for(self, token: str, path: Path) -> bool:
        """Whether the token was made for this path, by what it says itself."""
        data = encoding.to_bytes(token.removeprefix(TOKEN))
        return data is not None and self._is_for(data, path)

    def mac(self, document: Document) -> str:
        """Return the MAC over the sorted tree."""
        assert document.root is not None
        return encoding.to_text(authenticate(self._mac, canonical(document.root)))

    def _is_for(self, data: bytes, path: Path) -> bool:
        return hmac.compare_digest(data[:_PLACE], self._place_of(path))

    def _place_of(self, path: Path) -> bytes:
        return authenticate(self._place, self._about(path))[:_PLACE]

    def _about(self, path: Path) -> bytes:
        return b"vosctl-vault 1 leaf\0" + json.dumps([self.identifier, *path], separators=(",", ":")).encode()


class Opened(Struct, frozen=True):
    """A document that is what its writer sealed, and the values of its encrypted leaves."""

    document: Document
    header: Header
    key: DataKey
    values: Mapping[Path, Typed]


def about_key(identifier: str) -> bytes:
    """Return the associated data of a wrapped data key."""
    return _ABOUT_KEY + identifier.encode()


def open_document(document: Document, keys: Keys, *, altered: bool = False) -> Opened | None:
    """Return the opened document, None for a plain one.

    Raises InputError with a rule of its own for each way in which it cannot be: vault-locked,
    vault-password, vault-removed, vault-not-recipient, vault-truncated, vault-moved, vault-value,
    vault-altered. With ``altered``, a MAC that does not fit is let pass: its leaves stand alone.
    """
    header = read_header(document)
    if header is None:
        return None
    key = DataKey(_data_key(document, header, keys), header.identifier)
    values = _values(document, key)
    if not altered and not hmac.compare_digest(header.mac, key.mac(document)):
        raise refuse("vault-altered", "the file was changed since it was sealed: its plain values, names or recipients", document.header_mark,
                     hint=f"see git diff; where the change is yours: vosctl vault encrypt --reseal {document.display}")  # fmt: skip
    return Opened(document, header, key, values)


def is_intact(opened: Opened) -> bool:
    """Whether the MAC fits."""
    return hmac.compare_digest(opened.header.mac, opened.key.mac(opened.document))


def _data_key(document: Document, header: Header, keys: Keys) -> bytes:
    for stanza in header.stanzas:
        identity = keys.identity_of(stanza.recipient)
        if identity is not None:
            raw = unwrap(stanza.wrapped, identity.raw, about_key(header.identifier))
            if raw is None:
                raise refuse("vault-altered", f"the data key for {stanza.recipient.name} was altered", document.header_mark,
                             hint="take the file from git again: git checkout -- FILE")  # fmt: skip
            return raw
    raise _why_not(document, header, keys)


def _why_not(document: Document, header: Header, keys: Keys) -> InputError:
    mark, count = document.header_mark, len(document.tokens)
    gone = {removed.public: removed for removed in header.removed}
    for identity in keys.identities:
        if identity.public in gone:
            removed = gone[identity.public]
            return refuse("vault-removed", f"{removed.name} ({identity.origin}) was removed from the recipients on {removed.on}", mark,
                          hint=f"one of {header.names()} can add it: vosctl vault recipients add")  # fmt: skip
    has_passphrase = any(recipient.passphrase for recipient in header.recipients)
    if has_passphrase and keys.passwords:
        names = ", ".join(recipient.name for recipient in header.recipients if recipient.passphrase)
        return refuse("vault-password", f"the password is not that of {names}", mark,
                      hint="try again; where a passphrase was changed, use the new one")  # fmt: skip
    if keys.identities or keys.passwords:
        given = ", ".join(identity.origin for identity in keys.identities) or "the password"
        return refuse("vault-not-recipient", f"{given} opens none of its recipients: {header.names()}", mark,
                      hint=("--vault-password-file or --ask-vault-pass; or " if has_passphrase else "") +
                      "one of them can add you: vosctl vault recipients add NAME vosctl-pub-…")  # fmt: skip
    return refuse("vault-locked", f"{count} encrypted value{'' if count == 1 else 's'}, and no password or identity was given", mark,
                  hint=f"--vault-password-file, --ask-vault-pass or --vault-identity; readers: {header.names()}")  # fmt: skip


def _values(document: Document, key: DataKey) -> dict[Path, Typed]:
    problems = Problems()
    values: dict[Path, Typed] = {}
    for leaf in document.tokens:
        value = key.decrypt(leaf.node.value, leaf.path)
        if value is None:
            _explain(leaf, document, key, problems)
        else:
            values[leaf.path] = value
    problems.raise_errors()
    return values


def _explain(leaf: Leaf, document: Document, key: DataKey, problems: Problems) -> None:
    token = leaf.node.value
    data = encoding.to_bytes(token.removeprefix(TOKEN))
    sealed = len(data) - _PLACE - NONCE - _TAG if data is not None else -1
    if sealed <= 0 or sealed % BLOCK:
        problems.error("vault-value", "the encrypted value is cut off or mistyped", leaf.mark, path=leaf.name,
                       hint="take it from git again: git diff shows what happened")  # fmt: skip
    elif key.is_for(token, leaf.path):
        problems.error("vault-value", "the encrypted value was altered", leaf.mark, path=leaf.name,
                       hint="take it from git again: git diff shows what happened")  # fmt: skip
    else:
        source = next((joined(path) for path in document.leaves if key.is_for(token, path)), "")
        where = f"for {source}" if source else "for another place, another file or an older data key"
        problems.error("vault-moved", f"this value was encrypted {where}", leaf.mark, path=leaf.name,
                       hint="an encrypted value holds at its own path only: rename and move inside vosctl vault edit")  # fmt: skip
