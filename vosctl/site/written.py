"""Where a node's variable was written: file and line of whatever layer has the last word."""

from __future__ import annotations

import re
from functools import cache

from vosctl.site.problems import Problems
from vosctl.site.read import Inputs, SiteOptions, read_inputs
from vosctl.site.tree import Mapping, Mark, Sequence, Value
from vosctl.site.variables.source import canonical

_INDEX = re.compile(r"\[(\d+)\]\.?")


class Places:
    """Answers where a dotted path of a node's variables stands; the files are read at the first question."""

    def __init__(self, options: SiteOptions, *, inputs: Inputs | None = None) -> None:
        self._options = options
        self._inputs = inputs
        self._variables = cache(self._read)

    @classmethod
    def of(cls, inputs: Inputs) -> Places:
        """Return the answers for a site that was read already."""
        return cls(SiteOptions(), inputs=inputs)

    def find(self, node: str, path: str) -> Mark | None:
        """Return where ``path`` stands, or the nearest above it that somebody wrote; None where nobody did."""
        value: Value | None = self._variables(node)
        mark, rest = None, canonical(path)
        while value is not None and rest:
            value, rest, mark = _step(value, rest, mark)
        return mark

    def _read(self, node: str) -> Mapping:
        if self._inputs is None:
            self._inputs = read_inputs(self._options, Problems())
        return self._inputs.variables(node)


def _step(value: Value, path: str, mark: Mark | None) -> tuple[Value | None, str, Mark | None]:
    """Return the value one step down, the rest of the path, and where that value is named."""
    index = _INDEX.match(path)
    if isinstance(value, Sequence) and index and int(index[1]) < len(value.items):
        item = value.items[int(index[1])]
        return item, path[index.end() :], item.mark
    fitting = (
        [key for key in value.items if path == key or path.startswith((f"{key}.", f"{key}["))]
        if isinstance(value, Mapping)
        else []
    )
    if not fitting or not isinstance(value, Mapping):
        return None, path, mark
    key = max(fitting, key=len)
    return value.items[key], path[len(key) :].removeprefix("."), value.key_marks[key]
