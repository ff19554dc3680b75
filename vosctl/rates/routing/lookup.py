"""A route file with lookups in bulk: in C where that was compiled, over the mapped file."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property

from vosctl.rates.lookup import Prefixes
from vosctl.rates.lookup.keys import NONE
from vosctl.rates.routing.bulk import SAME, Column
from vosctl.rates.routing.native import at, column, library
from vosctl.rates.routing.reader import DENSE, TABLE, RouteFile


class RouteTables(RouteFile):
    """A route file; ``lookup`` finds the prefixes of many numbers at once."""

    @cached_property
    def lookup(self) -> Prefixes:
        """The file's prefixes."""
        return Prefixes(keys=self.sections["KEYS"][1].tobytes())

    def find_all(self, group: str, numbers: Sequence[str], when: datetime) -> Column:
        """Return the number of each number's cell in a group's table at a moment, NONE for one that is not sold."""
        return self.values(self.table(self.view(when), self.groups[group]), self.lookup.find(numbers))

    def values(self, table: int, indexes: Column) -> Column:
        """Return what a table says of prefixes, NONE for NONE."""
        offset, count, kind, _, base = self._record("TABL", TABLE, table)
        words = self.sections["RUNS"][1][offset:]
        loaded = library()
        if loaded is None:
            return array("I", (NONE if each == NONE else self.value(table, each) for each in indexes))
        starts = None if kind == DENSE else _held(words[: 4 * count])
        values = _held(words[: 4 * count] if starts is None else words[4 * count : 8 * count])
        found = column(len(indexes))
        loaded.vos_table_get(
            at(starts) if starts is not None else None,
            at(values),
            count,
            at(indexes),
            len(indexes),
            at(found),
        )
        if base == NONE:
            return found
        below = self.values(base, indexes)
        return array("I", (other if own == SAME else own for own, other in zip(found, below, strict=True)))


def _held(words: memoryview) -> Column:
    """Return words of the file as a column; they are copied, which costs less than a page fault each."""
    held = array("I")
    held.frombytes(words)
    return held
