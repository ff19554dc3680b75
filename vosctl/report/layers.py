"""Where a variable's value comes from: a line a layer, the winner marked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from vosctl.site.tree import Mapping, plain
from vosctl.site.variables.explain import Layer


def print_layers(console: Console, layers: Sequence[Layer], path: str) -> None:
    """Write each layer, lowest first, with its value and place; ``=>`` marks those that count."""
    winners = _winners(layers)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "layer", path, "where"):
        table.add_column(heading, overflow="fold")
    for layer in layers:
        if layer.value is not None:
            sign = "=>" if layer in winners else ""
            table.add_row(sign, layer.name, _shown(layer), str(layer.mark), style="bold" if sign else "dim")
    console.print(table)
    if not winners:
        console.print(f"no layer sets {path}")


def as_json(layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """Return the layers as JSON-ready objects; a layer that is silent has no ``value``."""
    winners = _winners(layers)
    return [
        {"layer": layer.name, "wins": layer in winners}
        | ({} if layer.value is None else {"value": plain(layer.value), "where": str(layer.mark)})
        for layer in layers
    ]


def _winners(layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers that make the value: the last one that speaks, and for mappings those it adds to."""
    winners: list[Layer] = []
    for layer in reversed(layers):
        if layer.value is None:
            continue
        if winners and not isinstance(layer.value, Mapping):
            break
        winners.append(layer)
        if layer.hidden or not isinstance(layer.value, Mapping):
            break
    return winners


def _shown(layer: Layer) -> str:
    assert layer.value is not None
    text = json.dumps(plain(layer.value), default=str)
    return f"(removed by {text} above it)" if layer.hidden else text
