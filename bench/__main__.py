"""Runs the benches: prints one table and merges the figures into bench/results.json by name.

A bench is a module of this package with ``NAMES``, a tuple of the figures' names, and ``run(name)``, which
returns ``{name, figure, unit, peer, peer_figure, ratio, command}`` or a list of such objects. Usage:
``python -m bench [NAME …]``.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).with_name("results.json")
FIELDS = ("name", "figure", "unit", "peer", "peer_figure", "ratio", "command")

Result = dict[str, Any]


def main(wanted: list[str]) -> int:
    """Run the wanted benches (all, when none is named); return 1 when one failed or is unknown."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    known = {name: module for module in modules() for name in module.NAMES}
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        errors.print(f"no bench {', '.join(unknown)}; there is {', '.join(sorted(known))}")
        return 1
    failed, results = 0, []
    for name in wanted or sorted(known):
        errors.print(f"{name} …", style="dim")
        try:
            results.extend(measure(known[name], name))
        except Exception:  # noqa: BLE001  the others are still worth measuring
            errors.print(f"{name} failed:\n{traceback.format_exc()}", markup=False, style="red")
            failed = 1
    merge(results)
    width = None if sys.stdout.isatty() else 160  # a pipe has no width to fit into
    Console(highlight=False, soft_wrap=True, width=width).print(table(results))
    return failed


def modules() -> Iterator[ModuleType]:
    """Yield every module of this package that has benches."""
    package = importlib.import_module("bench")
    for found in pkgutil.iter_modules(package.__path__):
        if found.name != "__main__":
            module = importlib.import_module(f"bench.{found.name}")
            if hasattr(module, "NAMES"):
                yield module


def measure(module: ModuleType, name: str) -> list[Result]:
    """Return the figures of one bench, with the ratio worked out; raises ValueError for a field too few."""
    answer = module.run(name)
    results: list[Result] = answer if isinstance(answer, list) else [answer]
    for result in results:
        result.setdefault("command", f"make bench ONLY={name}")
        peer = result.get("peer_figure")
        result.setdefault("ratio", round(result["figure"] / peer, 4) if peer else None)
        absent = [field for field in FIELDS if field not in result]
        if absent:
            raise ValueError(f"{name}: its result has no {', '.join(absent)}")
    return results


def merge(results: Iterable[Result], path: Path = RESULTS) -> None:
    """Write the results over earlier ones of the same name, keeping all others, sorted by name."""
    earlier: list[Result] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    merged = {result["name"]: result for result in earlier}
    merged |= {result["name"]: {field: result[field] for field in FIELDS} for result in results}
    ordered = [merged[name] for name in sorted(merged)]
    path.write_text(json.dumps(ordered, indent=2) + "\n", encoding="utf-8")


def table(results: Iterable[Result]) -> Table:
    """Return the figures as a table for people."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for title, justify in (("name", "left"), ("figure", "right"), ("unit", "left"), ("peer", "left"),
                           ("peer's", "right"), ("ratio", "right"), ("again with", "left")):  # fmt: skip
        made.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for result in results:
        made.add_row(
            result["name"], _number(result["figure"]), result["unit"], result["peer"] or "–",
            _number(result["peer_figure"]), _number(result["ratio"]), result["command"],
        )  # fmt: skip
    return made


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
