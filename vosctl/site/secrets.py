"""Where secrets stand in the variables: the one list that masks explain, problems and source lines."""

from __future__ import annotations

import re

_SECRET_PATH = re.compile(
    r"(?:.*\.)?keys\..+\.value"
    r"|(?:.*\.)?gateways\..+\.password"
    r"|(?:.*\.)?files\..+\.content"
    r"|(?:.*\.)?(?:ansible_)?(?:password|become_password|become_pass|ssh_pass)",
    re.DOTALL,
)


def is_secret_path(path: str) -> bool:
    """Return whether the value at a dotted variable path (``keys.ab.value``) must not be shown."""
    return _SECRET_PATH.fullmatch(path) is not None
