"""Who can read a file: X25519 key pairs, whose private half is an identity file or sealed under a passphrase."""

from __future__ import annotations

import os
import re

from msgspec import Struct

from vosctl.errors import UsageError
from vosctl.secret import Secret
from vosctl.vault import encoding, primitives
from vosctl.vault.primitives import Cost

PUBLIC = "vosctl-pub-"
PRIVATE = "vosctl-key-"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_ABOUT_SEALED = b"vosctl-vault 1 passphrase\0"


class Passphrase(Struct, frozen=True):
    """A private key under a passphrase: ``sealed`` opens with scrypt's result over ``salt``."""

    cost: Cost
    salt: bytes
    sealed: bytes


class Recipient(Struct, frozen=True):
    """One who can read. ``public`` is the X25519 public key, ``passphrase`` the way to its private half, if any."""

    name: str
    public: bytes
    passphrase: Passphrase | None = None

    @property
    def text(self) -> str:
        """The public key as people pass it on: ``vosctl-pub-…``."""
        return encoding.checked(PUBLIC, self.public)

    @property
    def label(self) -> str:
        """Name and kind for messages."""
        return f"{self.name} ({'passphrase' if self.passphrase else 'key ' + short(self.public)})"


class Removed(Struct, frozen=True):
    """One who could read once; ``on`` is the day as YYYY-MM-DD."""

    name: str
    public: bytes
    on: str


class Identity(Struct, frozen=True):
    """A private key, and where it came from."""

    private: Secret
    origin: str

    @property
    def raw(self) -> bytes:
        """The 32 bytes."""
        data = encoding.unchecked(PRIVATE, self.private.reveal())
        assert data is not None
        return data

    @property
    def public(self) -> bytes:
        """The public half."""
        return primitives.public_of(self.raw)


def short(public: bytes) -> str:
    """Return the beginning of a public key's text: enough to tell people's keys apart."""
    return encoding.checked(PUBLIC, public)[: len(PUBLIC) + 8] + "…"


def checked_name(name: str) -> str:
    """Return the name; raise UsageError where it is none."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no recipient's name", hint="letters, digits and . _ @ + - ; 64 at most"
        )
    return name


def new_identity(origin: str) -> Identity:
    """Return a fresh private key."""
    return Identity(Secret(encoding.checked(PRIVATE, os.urandom(primitives.KEY))), origin)


def parse_public(text: str) -> bytes:
    """Return the public key of ``vosctl-pub-…``; raise UsageError where it is not exactly one."""
    data = encoding.unchecked(PUBLIC, text.strip())
    if text.strip().startswith(PRIVATE):
        raise UsageError(
            "this is an identity, the private half",
            hint="recipients are vosctl-pub-…; and keep the other to yourself",
        )
    if data is None or len(data) != primitives.KEY:
        raise UsageError(
            "not a recipient: the text is damaged or incomplete", hint=f"it is {PUBLIC} and 48 characters"
        )
    return data


def parse_identity(text: str, origin: str) -> Identity:
    """Return the identity in the text of a file (comments begin with #); raise UsageError where there is none."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    data = encoding.unchecked(PRIVATE, lines[0]) if len(lines) == 1 else None
    if data is None or len(data) != primitives.KEY:
        raise UsageError(f"{origin}: no identity, or a damaged one", hint="vosctl vault keygen makes one")
    return Identity(Secret(lines[0]), origin)


def with_passphrase(name: str, password: Secret, cost: Cost) -> tuple[Recipient, Identity]:
    """Return a recipient whose private key only the passphrase opens, and that key."""
    identity = new_identity(f"the passphrase of {name}")
    salt = os.urandom(primitives.SALT)
    stretched = primitives.stretch(password.reveal(), salt, cost)
    sealed = primitives.seal(stretched, identity.raw, _ABOUT_SEALED + identity.public)
    return Recipient(name, identity.public, Passphrase(cost, salt, sealed)), identity


def open_passphrase(recipient: Recipient, stretched: bytes) -> Identity | None:
    """Return the recipient's identity, or None where the passphrase that was stretched is not the one."""
    assert recipient.passphrase is not None
    raw = primitives.unseal(stretched, recipient.passphrase.sealed, _ABOUT_SEALED + recipient.public)
    if raw is None or len(raw) != primitives.KEY:
        return None
    return Identity(Secret(encoding.checked(PRIVATE, raw)), f"the passphrase of {recipient.name}")
