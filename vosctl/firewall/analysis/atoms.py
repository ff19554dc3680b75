"""Cuts each header field into atoms: the largest sets of values that no condition in use tells apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from vosctl.firewall.simulate.rules import Span

Spans = tuple[Span, ...]


class Field(Struct, frozen=True):
    """A field with values from 0 to ``last``: the spans of each atom, and the mask of atoms of each set of values."""

    last: int
    atoms: tuple[Spans, ...]
    masks: Mapping[Spans, int]

    def spans(self, mask: int) -> Spans:
        """Return the values of a mask of atoms as spans in order, neighbours joined."""
        found = sorted(span for index, atom in enumerate(self.atoms) if mask >> index & 1 for span in atom)
        return joined(found)


def cut(last: int, wanted: Iterable[Spans]) -> Field:
    """Return the field cut so that each wanted set of values (its spans disjoint, in order) is a union of atoms."""
    sets = tuple(dict.fromkeys(wanted))
    changes: dict[int, int] = {0: 0}
    for index, spans in enumerate(sets):
        for first, end in spans:
            changes[first] = changes.get(first, 0) ^ 1 << index
            if end < last:
                changes[end + 1] = changes.get(end + 1, 0) ^ 1 << index
    points = sorted(changes)
    atoms: dict[int, list[Span]] = {}
    inside = 0
    for start, following in zip(points, (*points[1:], last + 1), strict=True):
        inside ^= changes[start]
        atoms.setdefault(inside, []).append((start, following - 1))
    masks = {
        spans: sum(1 << at for at, holders in enumerate(atoms) if holders >> index & 1)
        for index, spans in enumerate(sets)
    }
    return Field(last, tuple(joined(spans) for spans in atoms.values()), masks)


def joined(spans: Iterable[Span]) -> Spans:
    """Return spans, given in order, with those joined that touch or overlap."""
    found: list[Span] = []
    for first, last in spans:
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)
