"""Finds the package's data files, in a checkout (editable install) and in an installed wheel alike."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = _PACKAGE / "_data"


def schemas() -> Path:
    """Return the folder of the JSON schemas."""
    return _find("schemas")


def templates() -> Path:
    """Return the folder of the jinja2 templates, one folder a target below it."""
    return _find("templates")


def example() -> Path:
    """Return the folder that holds the example site: ``inventory`` and ``playbooks``."""
    return _find("inventory").parent


def _find(name: str) -> Path:
    for base in (_INSTALLED, _PACKAGE.parent):
        if (base / name).is_dir():
            return base / name
    raise FileNotFoundError(
        f"{name}/ is neither in {_INSTALLED} nor in {_PACKAGE.parent}: install vosctl again"
    )
