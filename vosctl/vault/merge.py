"""Merges two branches of an encrypted file, leaf by leaf, and seals the result; conflicts are marked as git marks them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from msgspec import Struct
from yaml.nodes import MappingNode, Node, SequenceNode

from vosctl.errors import InputError
from vosctl.vault import values
from vosctl.vault.document import HEADER, TOKEN, Document, Path, parse
from vosctl.vault.keys import Keys
from vosctl.vault.lines import merge_lines
from vosctl.vault.opening import Opened, open_document
from vosctl.vault.recipients import Recipient, Removed
from vosctl.vault.sealing import Envelope, encrypt, envelope_of, rekeyed, rewrite, source_of, unsealed
from vosctl.vault.values import Typed

_TOKENS = re.compile(re.escape(TOKEN) + r"[A-Za-z0-9_-]+")

Meaning: TypeAlias = "tuple[bool, Typed]"


class Merged(Struct, frozen=True):
    """The text to be written, and what the branches disagree on: paths, or ``lines`` where it is how they are written."""

    text: str
    conflicts: tuple[str, ...]


class _Side(Struct, frozen=True):
    """One version: its document, what it opens to, and what each leaf says (and whether it is encrypted)."""

    document: Document
    opened: Opened | None
    meaning: Mapping[Path, Meaning]


def merge(base: str, ours: str, theirs: str, display: str, keys: Keys, *, marker: int = 7) -> Merged:
    """Return the merge of two versions of a file that began as ``base``.

    Leaves are compared by what they say, so a new data key in one branch is no conflict; the result
    has the new one. Raises InputError where a version cannot be opened.
    """
    if not any(HEADER in text for text in (base, ours, theirs)):
        text, conflicts = merge_lines(ours, base, theirs, marker=marker)
        return Merged(text, ("lines",) if conflicts else ())
    sides = (_side(ours, display, keys), _side(base, display, keys), _side(theirs, display, keys))
    return _Merge(sides, marker).result()


def _side(text: str, display: str, keys: Keys) -> _Side:
    document = parse(text, display)
    opened = open_document(document, keys)
    secret = opened.values if opened is not None else {}
    meaning = {
        path: (True, secret[path]) if path in secret else (False, values.of_node(leaf.node)[0])
        for path, leaf in document.leaves.items()
    }
    return _Side(document, opened, meaning)


class _Merge:
    """One merge of three versions."""

    def __init__(self, sides: tuple[_Side, _Side, _Side], marker: int) -> None:
        ours, base, theirs = self._sides = sides
        self._marker = marker
        self._display = ours.document.display
        self._envelope = _envelope(ours.opened, base.opened, theirs.opened)
        self._uneven = _uneven(*(side.document for side in self._sides))
        self._known = {
            side.document.leaves[path].node.value: (path, value)
            for side in self._sides
            for path, value in (side.opened.values if side.opened else {}).items()
        }

    def result(self) -> Merged:
        expected, conflicts = self._expected()
        ours, base, theirs = (self._normal(side, expected) for side in self._sides)
        body, marked = merge_lines(ours, base, theirs, marker=self._marker)
        if marked and not conflicts:
            both, _ = merge_lines(ours, base, theirs, marker=self._marker, union=True)
            body, marked = (both, False) if self._says(both, expected) else (body, True)
        if not marked and not self._says(body, expected):
            whole = tuple(side.document.body for side in self._sides)
            body, marked = merge_lines(*whole, marker=self._marker)
            marked = marked or not self._says(body, expected)
        if marked:
            text = _TOKENS.sub(lambda found: self._fresh(found[0]), body)
            return Merged(
                unsealed(text, self._envelope, self._display), tuple(sorted(conflicts)) or ("lines",)
            )
        sealed = encrypt(parse(body, self._display), self._envelope, known=self._values())
        return Merged(sealed, ())

    def _expected(self) -> tuple[dict[Path, _Side], set[str]]:
        """Return the side whose word counts, for each leaf that is to be there, and the leaves in conflict."""
        ours, _, theirs = self._sides
        expected: dict[Path, _Side] = {}
        conflicts: set[str] = set()
        for path in {**ours.meaning, **theirs.meaning}:
            mine, before, other = (side.meaning.get(path) for side in self._sides)
            if self._is_uneven(path):
                continue
            winner = ours if other in (mine, before) else theirs if mine == before else None
            if winner is None:
                conflicts.add((ours if mine else theirs).document.leaves[path].name)
            elif path in winner.meaning:
                expected[path] = winner
        return expected, conflicts

    def _normal(self, side: _Side, expected: Mapping[Path, _Side]) -> str:
        """Return a version's body in which all that is agreed on is written alike."""
        changes = {}
        for path, leaf in side.document.leaves.items():
            winner = expected.get(path)
            if winner is not None and winner is not side:
                text = source_of(winner.document, winner.document.leaves[path])
                if text != source_of(side.document, leaf):
                    changes[path] = text
        return rewrite(side.document, changes)

    def _says(self, body: str, expected: Mapping[Path, _Side]) -> bool:
        """Whether a text says what is expected, and no more."""
        try:
            document = parse(body, self._display)
        except InputError:
            return False
        found = {path: leaf for path, leaf in document.leaves.items() if not self._is_uneven(path)}
        if set(found) != set(expected):
            return False
        for path, leaf in found.items():
            if leaf.is_token:
                says: Meaning = (True, self._known[leaf.node.value][1])
            else:
                says = (False, values.of_node(leaf.node)[0])
            if says != expected[path].meaning[path]:
                return False
        return True

    def _is_uneven(self, path: Path) -> bool:
        return any(path[: len(prefix)] == prefix for prefix in self._uneven)

    def _values(self) -> dict[str, Typed]:
        return {token: value for token, (_, value) in self._known.items()}

    def _fresh(self, token: str) -> str:
        """Return a token under the result's data key, the same one where it is under that already."""
        if token not in self._known:
            return token
        path, value = self._known[token]
        return token if self._envelope.key.decrypt(token, path) else self._envelope.key.encrypt(value, path)


def _envelope(ours: Opened | None, base: Opened | None, theirs: Opened | None) -> Envelope:
    """Return what the result goes into: the newer data key, and the recipients that neither branch took out."""
    branches = [side for side in (ours, theirs) if side is not None]
    changed = [side for side in branches if base is None or side.key.raw != base.key.raw] or branches
    found = changed or [side for side in (base,) if side is not None]
    chosen = max(found, key=lambda side: (side.header.serial, side.header.key))
    own = envelope_of(chosen)
    serial = max(side.header.serial for side in (*branches, *found)) + 1
    removed = _removed(*branches)
    before = {each.public for each in base.header.recipients} if base is not None else set()
    recipients = _recipients([side.header.recipients for side in branches], before, removed)
    merged = Envelope(own.key, recipients or own.recipients, removed, serial, own.stanzas)
    two = len({side.key.raw for side in changed}) > 1
    return rekeyed(merged) if two else merged


def _recipients(
    sides: list[tuple[Recipient, ...]], before: set[bytes], removed: tuple[Removed, ...]
) -> tuple[Recipient, ...]:
    gone = {each.public for each in removed}
    publics = [{each.public for each in side} for side in sides]
    every = {each.public: each for side in sides for each in side}
    return tuple(
        each
        for public, each in sorted(every.items(), key=lambda item: item[1].name)
        if public not in gone and (all(public in side for side in publics) or public not in before)
    )


def _removed(*sides: Opened) -> tuple[Removed, ...]:
    """Return who was removed in a branch, but for those whom that branch's later version has again."""
    found = {each.public: each for side in sides for each in side.header.removed}
    return tuple(sorted(found.values(), key=lambda each: (each.on, each.name)))


def _uneven(*documents: Document) -> set[Path]:
    """Return the lists that are not equally long everywhere: their items are no fixed places, their lines are merged."""
    lengths: dict[Path, set[int]] = {}
    for document in documents:
        if document.root is not None:
            for path, length in _lists(document.root, (), set()):
                lengths.setdefault(path, set()).add(length)
    return {path for path, found in lengths.items() if len(found) > 1}


def _lists(node: Node, path: Path, seen: set[int]) -> Iterator[tuple[Path, int]]:
    if id(node) in seen:
        return
    seen.add(id(node))
    below: Iterable[tuple[str | int, Node]] = ()
    if isinstance(node, MappingNode):
        below = [(key.value, value) for key, value in node.value if path or key.value != HEADER]
    elif isinstance(node, SequenceNode):
        yield path, len(node.value)
        below = list(enumerate(node.value))
    for step, item in below:
        yield from _lists(item, (*path, step), seen)
