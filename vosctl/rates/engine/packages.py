"""The packages that work in bulk needs, imported when they are used: vosctl works without them."""

from __future__ import annotations

import importlib
from typing import Any

from vosctl.errors import VosctlError


def needed(name: str) -> Any:
    """Return the module ``name`` of the extra ``rates``; raise VosctlError with what to install."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise VosctlError(
            f"rates in bulk need {package}, which is not installed", hint="pip install 'vosctl[rates]'"
        ) from error
