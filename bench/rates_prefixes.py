"""The prefixes that benches of rates look up: all carriers' and places' that the package phonenumbers knows."""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache
from itertools import chain

_PARTS = ("phonenumbers.carrierdata", "phonenumbers.geodata")


@lru_cache(maxsize=1)
def prefixes() -> tuple[str, ...]:
    """Return about 316,000 prefixes of 3 to 9 digits, sorted."""
    found: set[str] = set()
    for part in _PARTS:
        package = importlib.import_module(part)
        modules = (
            importlib.import_module(f"{part}.{each.name}") for each in pkgutil.iter_modules(package.__path__)
        )
        for module in chain([package], modules):
            for name, table in vars(module).items():
                if isinstance(table, dict) and not name.startswith("__"):
                    found.update(str(prefix) for prefix in table if str(prefix).isdigit())
    return tuple(sorted(found))
