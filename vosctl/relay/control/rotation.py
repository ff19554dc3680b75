"""Keys changed at run time: staged, activated and retired over the admin socket, on top of what the files say.

What was done so is kept in the run directory, so that a control process that starts again still accepts
a staged key. It is forgotten piece by piece as the files come to say the same.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Tuple

from vosctl.errors import RelayError
from vosctl.relay.control import crypto_attr
from vosctl.relay.control.calls import Branch
from vosctl.relay.control.config import ALNUM, Config
from vosctl.relay.control.peers import KEY_LENGTHS, Directory, Peer

LOG = logging.getLogger(__name__)

MAX_STAGED = 16


class KeyChangeError(RelayError):
    """The change cannot be made; ``calls`` is how many calls stand in its way."""

    def __init__(self, message: str, *, calls: int = 0) -> None:
        super().__init__(message)
        self.calls = calls


@dataclass(frozen=True)
class Change:
    """What differs for one trunk from the files: keys staged, the key in use (and the file's then), keys retired."""

    staged: Dict[str, str] = field(default_factory=dict, repr=False)
    current: str = ""
    base: str = ""
    retired: Tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.staged or self.current or self.retired)

    def upon(self, peer: Peer, keys: Dict[str, str]) -> Change:
        """Return what is left of the change once the files say ``peer`` and ``keys``."""
        known = set(peer.accept) & keys.keys()
        # A file with a third key was written after us: it knows better.
        moved = self.current != "" and peer.key not in {self.base, self.current}
        current = "" if moved or peer.key == self.current else self.current
        key = current or peer.key
        return Change(
            staged={kid: value for kid, value in self.staged.items() if kid not in known},
            current=current,
            base=self.base if current else "",
            retired=tuple(kid for kid in self.retired if kid in peer.accept and kid != key),
        )

    def applied(self, peer: Peer) -> Peer:
        """Return the trunk as it is with the change."""
        key = self.current or peer.key
        wanted = dict.fromkeys((*((key,) if key else ()), *peer.accept, *self.staged))
        accept = tuple(kid for kid in wanted if kid not in self.retired)
        return replace(peer, accept=accept).using(key) if key != peer.key else replace(peer, accept=accept)


class Rotation:
    """The changes of all trunks, kept in ``path`` (mode 0600: staged keys are in it)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changes: Dict[str, Change] = _load(path)

    def merge(self, files: Config) -> Config:
        """Return the configuration with the changes; those that the files have caught up with are forgotten."""
        self._changes = self._upon(files, self._changes)
        self.save()
        return _merged(files, self._changes)

    def keep(self, changes: Dict[str, Change]) -> None:
        """Take what ``stage``, ``activate`` or ``retire`` returned, and write it down. Raises ``OSError``."""
        self._changes = changes
        self.save()

    def save(self) -> None:
        """Write the changes to disk, whole or not at all; no change, no file. Raises ``OSError``."""
        if not self._changes:
            self._path.unlink(missing_ok=True)
            return
        new = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        tree = {name: vars(change) for name, change in self._changes.items()}
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - of a descriptor
            json.dump(tree, file)
        new.replace(self._path)

    def stage(self, files: Config, trunk: str, kid: str, value: str) -> Tuple[Config, Dict[str, Change]]:
        """Accept ``kid`` on ``trunk`` from now on; new calls go on with the key in use. Raises ``KeyChangeError``."""
        peer, change = self._trunk(files, trunk)
        config = _merged(files, self._changes)
        if not crypto_attr.is_kid(kid):
            raise KeyChangeError("kid: a key id is 1 to 32 letters, digits, dots, hyphens and underscores")
        low, high = KEY_LENGTHS[peer.mode]
        if not ALNUM.fullmatch(value) or not low <= len(value) <= high:
            length = str(low) if low == high else f"{low} to {high}"
            raise KeyChangeError(f"value: {peer.mode} takes {length} ASCII letters and digits")
        if config.keys.get(kid, value) != value:
            raise KeyChangeError(f"kid: `{kid}` is the id of another key already")
        if len(change.staged) >= MAX_STAGED and kid not in change.staged:
            raise KeyChangeError(f"trunk `{trunk}` has {MAX_STAGED} staged keys: retire some first")
        retired = tuple(old for old in change.retired if old != kid)
        return self._with(
            files, trunk, replace(change, staged={**change.staged, kid: value}, retired=retired)
        )

    def activate(self, files: Config, trunk: str, kid: str) -> Tuple[Config, Dict[str, Change]]:
        """Have new calls use ``kid``; those that run keep theirs. Raises ``KeyChangeError``."""
        peer, change = self._trunk(files, trunk)
        self._known(files, trunk, kid)
        if kid == peer.key:
            return self._with(files, trunk, replace(change, current="", base=""))
        return self._with(files, trunk, replace(change, current=kid, base=peer.key))

    def retire(
        self, files: Config, trunk: str, kid: str, calls: Iterable[Branch]
    ) -> Tuple[Config, Dict[str, Change]]:
        """Accept ``kid`` no more. Raises ``KeyChangeError`` while it is in use, by new calls or by running ones."""
        peer, change = self._trunk(files, trunk)
        self._known(files, trunk, kid)
        if kid == change.applied(peer).key:
            raise KeyChangeError(
                f"key `{kid}` is what new calls of trunk `{trunk}` use: activate another first"
            )
        held = holders(calls, trunk).get(kid, 0)
        if held:
            raise KeyChangeError(f"key `{kid}` is held by {held} calls of trunk `{trunk}`", calls=held)
        staged = {name: value for name, value in change.staged.items() if name != kid}
        retired = tuple(dict.fromkeys((*change.retired, kid)))
        return self._with(files, trunk, replace(change, staged=staged, retired=retired))

    def _known(self, files: Config, trunk: str, kid: str) -> None:
        accept = _merged(files, self._changes).peers[trunk].accept
        if kid not in accept:
            raise KeyChangeError(f"trunk `{trunk}` does not accept key `{kid}` ({', '.join(accept)})")

    def _trunk(self, files: Config, trunk: str) -> Tuple[Peer, Change]:
        peer = files.peers.get(trunk)
        if peer is None or not peer.is_trunk:
            raise KeyChangeError(f"no trunk `{trunk[:64]}`")
        if peer.mode not in KEY_LENGTHS:
            raise KeyChangeError(f"trunk `{trunk}` is {peer.mode}: it has no keys of ours")
        return peer, self._changes.get(trunk, Change())

    def _with(self, files: Config, trunk: str, change: Change) -> Tuple[Config, Dict[str, Change]]:
        changes = self._upon(files, {**self._changes, trunk: change})
        return _merged(files, changes), changes

    @staticmethod
    def _upon(files: Config, changes: Dict[str, Change]) -> Dict[str, Change]:
        found = {}
        for name, change in changes.items():
            peer = files.peers.get(name)
            left = change.upon(peer, files.keys) if peer is not None and peer.mode in KEY_LENGTHS else None
            if left:
                found[name] = left
        return found


def _merged(files: Config, changes: Dict[str, Change]) -> Config:
    if not changes:
        return files
    keys, peers = dict(files.keys), dict(files.peers)
    for name, change in changes.items():
        keys.update(change.staged)
        peers[name] = change.applied(peers[name])
    accepted = {kid for peer in peers.values() for kid in peer.accept}
    for kid in {kid for change in changes.values() for kid in change.retired} - accepted:
        keys.pop(kid, None)
    return replace(files, keys=keys, peers=peers, directory=Directory(peers.values()))


def holders(calls: Iterable[Branch], trunk: str) -> Dict[str, int]:
    """Return how many branches of ``trunk`` hold each key, to undo or to do."""
    found: Dict[str, int] = {}
    for branch in calls:
        kids = {kid for side in (0, 1) if branch.parties[side].name == trunk for kid in _kids(branch, side)}
        for kid in kids:
            found[kid] = found.get(kid, 0) + 1
    return found


def _kids(branch: Branch, side: int) -> List[str]:
    ends = [stream.ends[side] for stream in branch.streams]
    return [crypt.kid for end in ends for crypt in (end.rx, end.tx) if crypt.encrypts]


def _load(path: Path) -> Dict[str, Change]:
    try:
        tree: Optional[Any] = json.loads(path.read_bytes())
        assert isinstance(tree, dict)
        return {name: Change(**{**item, "retired": tuple(item["retired"])}) for name, item in tree.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AssertionError):
        # The message would quote the file, which holds keys.
        LOG.error("%s cannot be read: keys staged at run time are forgotten", path)  # noqa: TRY400
        return {}
