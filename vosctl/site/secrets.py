"""Where secrets stand in the variables: the one list that masks explain, problems and source lines."""

from __future__ import annotations

import re

_KEPT = (
    r"(?:.*\.)?keys\..+\.value"
    r"|(?:.*\.)?gateways\..+\.password"
    r"|(?:.*\.)?alerts\.webhook"
    r"|(?:.*\.)?(?:ansible_)?(?:password|become_password|become_pass|ssh_pass)"
)
_KEPT_PATH = re.compile(_KEPT, re.DOTALL)
_SECRET_PATH = re.compile(_KEPT + r"|(?:.*\.)?files\..+\.content", re.DOTALL)


def is_secret_path(path: str) -> bool:
    """Return whether the value at a dotted variable path (``keys.ab.value``) must not be shown."""
    return _SECRET_PATH.fullmatch(path) is not None


def is_kept_secret(path: str) -> bool:
    """Return whether a value at this path is a secret whatever it says, and belongs encrypted."""
    return _KEPT_PATH.fullmatch(path) is not None
