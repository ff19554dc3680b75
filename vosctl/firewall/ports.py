"""Ports in groups that one multiport match takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vosctl.site.model import PortRange

_MULTIPORT = 15


def groups(ports: Iterable[int]) -> Iterator[tuple[PortRange, ...]]:
    """Yield the ports in ascending order, each once, fifteen at a time."""
    ordered = sorted(set(ports))
    for start in range(0, len(ordered), _MULTIPORT):
        yield tuple(PortRange(port, port) for port in ordered[start : start + _MULTIPORT])
