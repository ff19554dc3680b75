"""The keys at hand: identities and passwords, fetched only when a file needs them, each passphrase stretched once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from msgspec import Struct

from vosctl.secret import Secret
from vosctl.site.tree import Mark
from vosctl.vault.primitives import stretch
from vosctl.vault.recipients import Identity, Recipient, open_passphrase


class Version(Struct, frozen=True):
    """Which version of which document was read, and where."""

    identifier: str
    serial: int
    mark: Mark


def _none() -> tuple[()]:
    return ()


class Keys:
    """What was given to open files with: two sources, each asked at most once."""

    def __init__(
        self,
        *,
        identities: Callable[[], Sequence[Identity]] = _none,
        passwords: Callable[[], Sequence[Secret]] = _none,
    ) -> None:
        self._fetch_identities = identities
        self._fetch_passwords = passwords
        self._identities: tuple[Identity, ...] | None = None
        self._passwords: tuple[Secret, ...] | None = None
        self._opened: dict[Recipient, Identity | None] = {}
        self.versions: list[Version] = []  # of the files that a site's loader opened

    @property
    def identities(self) -> tuple[Identity, ...]:
        """The identities given."""
        if self._identities is None:
            self._identities = tuple(self._fetch_identities())
        return self._identities

    @property
    def passwords(self) -> tuple[Secret, ...]:
        """The passwords given; may ask on the terminal."""
        if self._passwords is None:
            self._passwords = tuple(self._fetch_passwords())
        return self._passwords

    def identity_of(self, recipient: Recipient) -> Identity | None:
        """Return the private key that belongs to a recipient, None where nothing at hand gives it."""
        found = next((own for own in self.identities if own.public == recipient.public), None)
        if found is not None or recipient.passphrase is None:
            return found
        if recipient not in self._opened:
            self._opened[recipient] = self._try_passwords(recipient)
        return self._opened[recipient]

    def add(self, identity: Identity) -> None:
        """Take one more identity."""
        self._identities = (*self.identities, identity)

    def _try_passwords(self, recipient: Recipient) -> Identity | None:
        way = recipient.passphrase
        assert way is not None
        for password in self.passwords:
            found = open_passphrase(recipient, stretch(password.reveal(), way.salt, way.cost))
            if found is not None:
                return found
        return None


@contextmanager
def using(keys: Keys) -> Iterator[None]:
    """Let every site file that is read within be opened with ``keys``."""
    _at_hand.append(keys)
    try:
        yield
    finally:
        _at_hand.pop()


def at_hand() -> Keys:
    """Return the keys that ``using`` gave last."""
    return _at_hand[-1]


_at_hand = [Keys()]
